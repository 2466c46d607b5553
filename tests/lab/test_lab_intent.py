"""One file of what is meant, on every way to a mesh: local, a sandbox of the cluster, nightly."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.commands import Ended, list_leftovers, meshproof, snapshot
from tests.lab.nightly import USERS, users

LIVE = f"cluster:{USERS}"
#: Each way to a mesh of the lab's rules.
WAYS = {
    "local": ("test", "--rules", LIVE),
    "sandbox": ("test", "--mesh", "cluster", "--rules", LIVE, "--mesh-sandbox", "8"),
    "nightly": ("smoke", "--rules-from", USERS),
}
INTENT = f"""\
intent:
- name: testers see v2
  request: {{host: cart.{USERS}, headers: {{x-beta: "yes"}}}}
  to: cart v2
- name: others see v1
  request: {{host: cart.{USERS}, path: /x}}
  to: cart v1
"""


def list_expectations(ended: Ended) -> dict[str, tuple[str, str]]:
    """Return the outcome and the title of each expectation."""
    return {
        result.promise: (str(result.outcome), result.title)
        for result in ended.run.results
        if result.promise.startswith("intent: ")
    }


@pytest.mark.parametrize("way", WAYS)
def test_the_same_file_holds_on_every_mesh(way: str, tmp_path: Path) -> None:
    file = tmp_path / "meant.yaml"
    file.write_text(INTENT)
    with users():
        before = snapshot()
        ended = meshproof(*WAYS[way], "--intent", str(file), folder=tmp_path)
        assert (snapshot() ^ before, list_leftovers(ended)) == (set(), [])
    assert ended.code == 0, ended.output
    outcomes = {name: outcome for name, (outcome, _) in list_expectations(ended).items()}
    assert outcomes == {
        "intent: testers see v2 -> cart v2": "passed",
        "intent: others see v1 -> cart v1": "passed",
    }
    assert "intent: expectations are about 2 of 2 routes" in ended.output


@pytest.mark.parametrize("way", WAYS)
def test_what_the_rules_do_not_mean_is_red_with_both_places(way: str, tmp_path: Path) -> None:
    file = tmp_path / "meant.yaml"
    file.write_text(INTENT.replace("to: cart v2", "to: cart v1").replace("see v2", "see v1, too"))
    with users():
        ended = meshproof(*WAYS[way], "--intent", str(file), folder=tmp_path)
    assert ended.code == 1, ended.output
    expectations = list_expectations(ended)
    outcome, title = expectations.pop("intent: testers see v1, too -> cart v1")
    assert outcome == "failed"
    assert f"{file}:2" in title
    assert "VirtualService/cart" in title
    assert [outcome for outcome, _ in expectations.values()] == ["passed"]
    failed = [result for result in ended.run.results if str(result.outcome) == "failed"]
    assert len(failed) == 1, [result.promise for result in failed]
