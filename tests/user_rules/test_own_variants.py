"""Objects of one name: each of them is checked with the rest, in turn, when that is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshproof import cli
from meshproof.run.record import Run
from meshproof.user_rules import loading
from tests.command import EndedCommand
from tests.manifest_text import write_head

RULES = write_head("DestinationRule", "web") + (
    "spec: {host: web, subsets: [{name: SUBSET, labels: {version: SUBSET}}]}\n"
)
#: Of one name, each with another path.
ROUTE = write_head("VirtualService", "web") + (
    "spec: {hosts: [web], http: [{match: [{uri: {prefix: PATH}}], "
    "route: [{destination: {host: web, subset: SUBSET}}]}]}\n"
)


def write_step(folder: Path, name: str, path: str, subset: str = "v1") -> None:
    """Write one step of a tutorial: a rule and its subsets, with the names of every other step."""
    step = folder / name
    step.mkdir(parents=True)
    (step / "route.yaml").write_text(ROUTE.replace("PATH", path).replace("SUBSET", subset))
    (step / "subsets.yaml").write_text(RULES.replace("SUBSET", subset))


def list_paths(folder: Path) -> list[str]:
    """Return the path of the first request that reaches the rule, of each turn."""
    return [turn.plan.cases[0].call.path for turn in loading.load_each_variant([str(folder)])]


def test_each_variant_is_read_with_the_objects_that_are_kept_beside_it(tmp_path: Path) -> None:
    write_step(tmp_path, "1", "/one", "v1")
    write_step(tmp_path, "2", "/two", "v2")
    turns = loading.load_each_variant([str(tmp_path)])
    subsets = [
        {label for case in turn.plan.cases for target, _ in case.shares for label in target.labels}
        for turn in turns
    ]
    assert subsets == [{("version", "v1")}, {("version", "v2")}]
    assert [turn.excluded for turn in turns] == [(), ()]
    assert [turn.variant.partition(":")[0] for turn in turns] == [
        "variant 1 of 2",
        "variant 2 of 2",
    ]
    assert f"VirtualService default/web ({tmp_path}/2/route.yaml:1)" in turns[1].variant


def test_a_name_with_more_variants_than_another_has_a_turn_for_each(tmp_path: Path) -> None:
    (tmp_path / "subsets.yaml").write_text(RULES.replace("SUBSET", "v1"))
    for number, path in enumerate(("/one", "/two", "/three")):
        (tmp_path / f"route-{number}.yaml").write_text(
            ROUTE.replace("PATH", path).replace("SUBSET", "v1")
        )
    assert list_paths(tmp_path) == ["/one", "/two", "/three"]


def test_rules_without_variants_have_one_turn(tmp_path: Path) -> None:
    write_step(tmp_path, "1", "/one")
    (turn,) = loading.load_each_variant([str(tmp_path)])
    assert (turn.variant, len(turn.plan.cases) > 0) == ("", True)


#: Service -> its selector, and whether pods with app=web and tier=TIER may be of it.
SERVICES = {
    "web": ("selector: {app: web}, ", True),
    "tiered": ("selector: {app: web, tier: front}, ", True),
    "pay": ("selector: {app: pay}, ", False),
    "by-hand": ("", False),
}


def write_workload(kind: str, name: str, labels: str) -> str:
    """Return a Deployment or a Pod whose pods have some labels."""
    metadata = f"metadata: {{labels: {labels}}}"
    if kind == "Pod":
        return write_head(kind, name).replace("}", f", labels: {labels}}}", 1) + "spec: {}\n"
    selector = "selector: {matchLabels: {app: web}}"
    return write_head(kind, name) + f"spec: {{{selector}, template: {{{metadata}}}}}\n"


def list_unchecked_services(folder: Path) -> set[str]:
    """Return the names of the Services that are not checked."""
    unchecked = loading.load([str(folder)]).excluded
    return {
        entry.name.rpartition("/")[2] for entry in unchecked if entry.name.startswith("Service ")
    }


def write_services(folder: Path) -> None:
    documents = [
        write_head("Service", name) + f"spec: {{{selector}ports: [{{port: 80}}]}}\n"
        for name, (selector, _) in SERVICES.items()
    ]
    (folder / "services.yaml").write_text("---\n".join(documents))
    (folder / "route.yaml").write_text(
        write_head("VirtualService", "pay")
        + "spec: {hosts: [pay], http: [{route: [{destination: {host: pay}}]}]}\n"
    )


@pytest.mark.parametrize("kind", ["Deployment", "Pod"])
def test_variants_of_a_workload_leave_the_services_that_select_none_of_them(
    kind: str, tmp_path: Path
) -> None:
    write_services(tmp_path)
    for tier in ("front", "back"):
        text = write_workload(kind, "web", f"{{app: web, tier: {tier}}}")
        (tmp_path / f"{tier}.yaml").write_text(text)
    expected = {name for name, (_, is_selecting) in SERVICES.items() if is_selecting}
    assert list_unchecked_services(tmp_path) == expected


def test_a_workload_whose_labels_cannot_be_read_may_be_of_every_service_with_a_selector(
    tmp_path: Path,
) -> None:
    write_services(tmp_path)
    (tmp_path / "web.yaml").write_text(write_workload("Deployment", "web", "[app, web]"))
    assert list_unchecked_services(tmp_path) == {"web", "tiered", "pay"}


def test_what_is_left_out_is_counted_once_a_turn(tmp_path: Path) -> None:
    write_step(tmp_path, "1", "/one")
    write_step(tmp_path, "2", "/two", "v2")
    (tmp_path / "job.yaml").write_text("apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\n")
    notes = {turn.notes for turn in loading.load_each_variant([str(tmp_path)])}
    assert notes == {("left out: 1 object that routes nothing (Job)",)}


def test_plan_has_each_variant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_step(tmp_path, "1", "/one")
    write_step(tmp_path, "2", "/two")
    assert cli.main(["plan", str(tmp_path)]) == 3
    assert "--each-variant" in capsys.readouterr().out
    assert cli.main(["plan", str(tmp_path), "--each-variant", "-o", "json"]) == 0
    plan: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [len(variant["routes"]) for variant in plan["variants"]] == [1, 1]
    assert plan["variants"][1]["variant"].startswith("variant 2 of 2: ")
    assert cli.main(["plan", str(tmp_path), "--each-variant"]) == 0
    assert "variant 2 of 2: " in capsys.readouterr().out


@pytest.mark.local
def test_each_variant_is_a_run_of_its_own(
    tmp_path: Path, meshproof: Callable[..., EndedCommand]
) -> None:
    """The second step has a wrong key: it alone fails."""
    write_step(tmp_path / "k8s", "1", "/one")
    write_step(tmp_path / "k8s", "2", "/two")
    route = tmp_path / "k8s" / "2" / "route.yaml"
    route.write_text(route.read_text().replace("{prefix: ", "{prefixx: "))
    old_report = tmp_path / "meshproof-report" / "variant-3"
    old_report.mkdir(parents=True)
    (old_report / "run.json").write_text('{"standins": {}}')
    ended = meshproof("test", "--rules", "k8s", "--each-variant")
    assert ended.code == 1, ended.output
    runs = [
        Run.from_json(
            (tmp_path / "meshproof-report" / f"variant-{number}" / "run.json").read_text()
        )
        for number in (1, 2)
    ]
    assert [run.exit_code for run in runs] == [0, 1]
    assert [run.notes[0].partition(":")[0] for run in runs] == ["variant 1 of 2", "variant 2 of 2"]
    assert not old_report.exists()
    assert not (tmp_path / "meshproof-report" / "run.json").exists()
    assert "k8s/2/route.yaml:1" in ended.output.splitlines()[-1]
