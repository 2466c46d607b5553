"""A real istiod keeps the promises, serves a user's rules, and ends as the run ends."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from meshproof.base.errors import BadRules, ProcessEnded
from meshproof.mesh.istiod.mesh import IstiodMesh
from meshproof.mesh.istiod.objects import Placed, make_object
from meshproof.mesh.process.processes import clear_dead_runs, find_run_processes
from meshproof.mesh.protocol import Options
from meshproof.rules.model import RuleSet
from meshproof.run.record import Outcome
from tests import ROOT
from tests.command import run_command

HERE = Path(__file__).parent
pytestmark = pytest.mark.istiod


def list_options(pilot_discovery: str) -> list[str]:
    return ["test", "--mesh", "istiod", "--istiod", pilot_discovery]


@pytest.mark.parametrize(
    "rules",
    [
        HERE / "gateway.yaml",
        HERE / "callers.yaml",
        ROOT / "tests" / "user_rules" / "actions.yaml",
        HERE / "listeners.yaml",
        HERE / "tls.yaml",
    ],
    ids=lambda path: path.stem,
)
def test_rules_mean_on_istiod_what_they_say(
    pilot_discovery: str, tmp_path: Path, rules: Path
) -> None:
    run = run_command(*list_options(pilot_discovery), "--rules", str(rules), folder=tmp_path)
    assert run.code == 0, run.output
    assert {result.outcome for result in run.all_results} == {Outcome.PASSED}
    assert "a real istiod takes them" in " ".join(run.output.split())
    asked_tls = any("client certificate" in name for name in run.results)
    assert asked_tls is (rules.stem == "tls"), run.output


def test_gateway_api_means_on_istiod_what_it_says(pilot_discovery: str, tmp_path: Path) -> None:
    rules = ["--rules", str(ROOT / "tests" / "user_rules" / "gateway_api.yaml")]
    run = run_command(*list_options(pilot_discovery), *rules, folder=tmp_path)
    assert run.code == 3, run.output  # the route 'regex' is unreached
    assert {result.outcome for result in run.all_results} == {Outcome.PASSED}, run.output
    assert len(run.all_results) > 150


def test_rules_that_istiod_has_otherwise_are_red(
    pilot_discovery: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    plugin = ["-p", "tests.mesh.istiod.doctored_rules", "-k", "80"]
    rules = ["--rules", str(HERE / "gateway.yaml")]
    run = run_command(*list_options(pilot_discovery), *plugin, *rules, folder=tmp_path)
    assert run.code == 1, run.output
    splits = {name for name in run.results if "v1 80 %" in name and ": host " not in name}
    # A split is judged in one case of its route; the others are told by who answers at all.
    judged = {name for name in splits if "Promised: shop v1 80 %" in run.results[name].message}
    assert len(judged) == 1, run.output
    assert judged <= set(run.list_failed()) <= splits, run.output


def test_the_promises_are_kept(pilot_discovery: str, tmp_path: Path) -> None:
    run = run_command(*list_options(pilot_discovery), folder=tmp_path)
    assert run.code == 0, run.output
    passed = [result for result in run.all_results if result.outcome is Outcome.PASSED]
    others = {result.outcome for result in run.all_results} - {Outcome.PASSED}
    assert len(passed) == 7, run.output
    assert others == {Outcome.NOT_SUPPORTED}


def test_istiod_itself_refuses_an_object_and_the_mesh_goes_on(pilot_discovery: str) -> None:
    with IstiodMesh.opened(Options(istiod=pilot_discovery)) as mesh:
        mesh.deploy([])
        route = {"match": [{"uri": {"regex": "(("}}], "directResponse": {"status": 200}}
        spec = {"hosts": ["shop"], "http": [route]}
        wrong = Placed(make_object("VirtualService", "default", "shop", spec), "rules.yaml:3")
        with pytest.raises(
            BadRules, match=r"^rules.yaml:3: .*istiod refuses it: .*missing closing \)"
        ):
            mesh._serving.serve([wrong], mesh._list_proxies(), RuleSet())
        with mesh.applied(RuleSet()) as served:
            assert served.proxies == 1


@pytest.mark.parametrize("name", ["istiod", "kube-apiserver", "etcd"])
def test_a_dead_control_plane_is_named_with_its_last_lines(pilot_discovery: str, name: str) -> None:
    with IstiodMesh.opened(Options(istiod=pilot_discovery)) as mesh:
        mesh.deploy([])
        os.kill(mesh.workspace.processes[name], signal.SIGKILL)
        with (
            pytest.raises(ProcessEnded, match=rf"^{name} was ended by signal 9 .*\n    \S"),
            mesh.applied(RuleSet()),
        ):
            pytest.fail("a mesh without its control plane serves rules")


def test_a_program_that_is_no_istiod_is_69(pilot_discovery: str, tmp_path: Path) -> None:
    program = tmp_path / "pilot"
    program.write_text("#!/bin/sh\necho I am no istiod; exit 3\n")
    program.chmod(0o700)
    rules = ["--rules", str(HERE / "callers.yaml")]
    run = run_command(*list_options(str(program)), *rules, folder=tmp_path)
    assert run.code == 69, run.output
    text = " ".join(run.output.split())
    assert "istiod ended with exit code 3; last lines of its log: I am no istiod" in text


def test_after_a_kill_the_next_run_ends_what_is_left(pilot_discovery: str) -> None:
    child = os.fork()
    if child == 0:  # pragma: no cover
        with IstiodMesh.opened(Options(istiod=pilot_discovery)):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (dead,) = [path for path in clear_dead_runs(dry_run=True) if f"run-{child}-" in path.name]
    assert len(find_run_processes(dead)) == 3
    clear_dead_runs()
    assert not dead.exists()
    assert not find_run_processes(dead)
