"""What rules, labels and reports hold reaches no terminal and no log of CI raw, in any command."""

from __future__ import annotations

import io
import itertools
import sys
from pathlib import Path

import pytest

from meshproof.cli import main
from meshproof.run.record import Check, Outcome, Result, Run
from meshproof.verdict import judge
from tests.obeyed import PLANTED, PLANTED_IN_YAML, find_obeyed

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: cart}
spec: {selector: {app: cart}, ports: [{port: 80, name: http}]}
---
"""
WORKLOAD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart}
spec:
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart, v: v1}}
    spec: {containers: [{name: cart, image: cart}]}
---
"""
SUBSETS = """---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart}
spec: {host: cart, subsets: [{name: "v1", labels: {v: v1}}]}
"""
VIRTUAL_SERVICE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: "NAME"}
spec:
  hosts: ["HOST"]
  http:
  - name: "ROUTE"
    match:
    - uri: {prefix: "/PATH"}
      headers: {"HEADER": {exact: "VALUE"}}
    route: [{destination: {host: cart, subset: "SUBSET"}, headers: {request: {set: {a: "SET"}}}}]
  - name: "ROUTE"
    directResponse: {status: 200, body: {string: "BODY"}}
"""
ROUTE_RULE = """
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: "NAME", annotations: {a: "NOTE"}}
spec:
  destination: {name: "HOST"}
  match: {request: {headers: {uri: {prefix: "/PATH"}, "HEADER": {exact: "VALUE"}}}}
  route: [{labels: {version: "SUBSET"}}]
"""
HARMLESS = {"NAME": "cart", "HOST": "cart", "HEADER": "x-a", "SUBSET": "v1"}
PLACES = ("NAME", "HOST", "ROUTE", "PATH", "HEADER", "VALUE", "SUBSET", "SET", "BODY", "NOTE")


def fill(template: str, place: str) -> str:
    for name in PLACES:
        value = f"x{PLANTED_IN_YAML}" if name == place else HARMLESS.get(name, "x")
        template = template.replace(f'"{name}"', f'"{value}"').replace(f"/{name}", f"/{value}")
    return template


class Command:
    """Runs the command in this process, with `labels` on its standard input."""

    def __init__(self, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._capsys, self._patch = capsys, patch

    def run(self, *arguments: str, labels: str = "") -> str:
        """Return everything that the command has printed."""
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(labels.encode())))
        code = main(arguments)
        printed = self._capsys.readouterr()
        assert code != 70, printed.err
        return printed.out + printed.err


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(capsys, monkeypatch)


@pytest.mark.parametrize("place", PLACES)
def test_rules(command: Command, tmp_path: Path, place: str) -> None:
    today, legacy = tmp_path / "today.yaml", tmp_path / "legacy.yaml"
    today.write_text(SERVICE + fill(VIRTUAL_SERVICE, place) + SUBSETS)
    legacy.write_text(fill(ROUTE_RULE, place))
    for name, file, form in itertools.product(
        ("plan", "lint"), (today, legacy), ("text", "json", "sarif")
    ):
        if (name, form) != ("plan", "sarif"):
            assert find_obeyed(command.run(name, str(file), "-o", form)) == [], (name, file, form)
    target = str(tmp_path / "converted.yaml")
    assert find_obeyed(command.run("convert", str(legacy), "-o", target)) == []


CALL = ("http://cart/x", "--from", "cart")


@pytest.mark.parametrize("place", PLACES)
def test_questions_about_rules(command: Command, tmp_path: Path, place: str) -> None:
    file, other = tmp_path / "rules.yaml", tmp_path / "other.yaml"
    file.write_text(SERVICE + WORKLOAD + fill(VIRTUAL_SERVICE, place) + SUBSETS)
    other.write_text(SERVICE + WORKLOAD + fill(VIRTUAL_SERVICE, "none") + SUBSETS)
    for form in ("text", "json"):
        printed = command.run("explain", str(file), *CALL, "-o", form)
        assert find_obeyed(printed) == [], form
        for sides in ((file, other), (other, file)):
            printed = command.run("compare", *map(str, sides), "--no-send", "-o", form)
            assert find_obeyed(printed) == [], form
    assert find_obeyed(command.run("intent", "init", str(file))) == []


def test_questions_show_what_was_planted(command: Command, tmp_path: Path) -> None:
    file, other = tmp_path / "rules.yaml", tmp_path / "other.yaml"
    file.write_text(SERVICE + WORKLOAD + fill(VIRTUAL_SERVICE, "SET") + SUBSETS)
    other.write_text(SERVICE + WORKLOAD + fill(VIRTUAL_SERVICE, "none") + SUBSETS)
    assert "evil" in command.run("compare", str(other), str(file), "--no-send", "-o", "json")
    file.write_text(SERVICE + WORKLOAD + fill(VIRTUAL_SERVICE, "ROUTE") + SUBSETS)
    assert "evil" in command.run("explain", str(file), *CALL)
    assert "evil" in command.run("intent", "init", str(file))


@pytest.mark.parametrize("name", ["explain", "try"])
def test_questions_themselves(command: Command, tmp_path: Path, name: str) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(SERVICE + WORKLOAD)
    for arguments in (
        ("http://x" + PLANTED, "--from", "cart"),
        ("http://cart/", "--from", PLANTED),
        ("http://cart/", "--from", "cart", "-H", PLANTED),
        ("http://nobody/", "-X", PLANTED),
    ):
        printed = command.run(name, str(file), *arguments)
        assert find_obeyed(printed) == [], arguments


def test_an_intent(command: Command, tmp_path: Path) -> None:
    file, intent = tmp_path / "rules.yaml", tmp_path / "meant.yaml"
    file.write_text(SERVICE + WORKLOAD)
    for key in ("name", "to", "nonsense", "redirect"):
        intent.write_text(
            f'intent: [{{request: {{host: cart, from: cart}}, "{key}": "{PLANTED_IN_YAML}"}}]\n'
        )
        printed = command.run("plan", str(file), "--intent", str(intent))
        assert find_obeyed(printed) == [], key


def test_file_names(command: Command, tmp_path: Path) -> None:
    file = tmp_path / f"{PLANTED.replace('/', '')}.yaml"
    file.write_text(SERVICE + fill(VIRTUAL_SERVICE, "none") + "---\n: :\n")
    for name in ("plan", "lint", "convert"):
        printed = command.run(name, str(tmp_path))
        assert "evil" in printed
        assert find_obeyed(printed) == []


@pytest.mark.parametrize("form", ["text", "json"])
def test_judge(command: Command, form: str) -> None:
    label = PLANTED.replace("\n", "").replace("\r", "").replace("\x85", "").replace("\u2028", "")
    for expect in ("v1=50,v2=50", f"{label}=50,v2=50", label):
        printed = command.run("judge", "--expect", expect, "-o", form, labels=f"{label}\n" * 9)
        assert "evil" in printed
        assert find_obeyed(printed) == []


def test_judge_replays_a_report(command: Command, tmp_path: Path) -> None:
    verdict = judge([PLANTED] * 9, {PLANTED: 50, "v1": 50})
    check = Check(name=PLANTED, by=PLANTED, curl=PLANTED, verdict=verdict)
    result = Result(PLANTED, PLANTED, Outcome.INCONCLUSIVE, checks=(check,))
    (tmp_path / "run.json").write_text(Run("0", "local", "", "", "", results=[result]).to_json())
    printed = command.run("judge", "--replay", str(tmp_path))
    assert "evil" in printed
    assert find_obeyed(printed) == []
