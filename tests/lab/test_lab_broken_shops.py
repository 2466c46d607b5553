"""Broken repositories in a sandbox of the lab: red for their reason, none is green."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.commands import Ended, list_leftovers, meshproof
from tests.user_rules.test_own_world import DEFECTS, NOT_GREEN, SHOP, write_shop


def run(folder: Path) -> Ended:
    ended = meshproof(
        *("test", "--mesh", "cluster", "--rules", str(folder / "shop.yaml"), "--mesh-sandbox", "8"),
        folder=folder,
    )
    assert list_leftovers(ended) == []
    return ended


@pytest.mark.parametrize("defect", ["typo", "selector", "subset"])
def test_a_destination_that_cannot_answer_is_red(defect: str, tmp_path: Path) -> None:
    write_shop(tmp_path, defect)
    ended = run(tmp_path)
    assert ended.code == 1, ended.output
    _, cause, routes = DEFECTS[defect]
    failed = [result for result in ended.run.results if result.outcome == "failed"]
    causes = {result.failure.root_cause for result in failed if result.failure is not None}
    assert {result.route for result in failed} - {""} == routes, ended.output
    assert [what.what.startswith(cause) for what in causes if what is not None] == [True]


@pytest.mark.parametrize("added", NOT_GREEN, ids=["unreached route", "deny all"])
def test_what_no_request_can_show_is_not_green(added: str, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SHOP + added)
    ended = run(tmp_path)
    output = " ".join(ended.output.split())
    assert ended.code == 3, ended.output
    for words in NOT_GREEN[added]:
        assert words in output, ended.output
