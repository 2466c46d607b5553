from __future__ import annotations

import importlib
import os
import re
from pathlib import Path

import pytest

from meshproof.run.record import Outcome, Result
from tests.command import EndedCommand, run_command
from tests.faults.planting import Fault, load_faults

ADDON = "meshproof.mesh.addons."
PARTS = ("promise: ", "expected: ", "observed: ", "see it: curl ", "diagnosis: ")


def run(fault: Fault, folder: Path) -> EndedCommand:
    """Run `meshproof test` with a fault in it, in an empty folder; nothing of it may be left."""
    plugin = ("-p", "tests.faults.fault_plugin", "--fault", fault.name)
    options = ("--report", "report", *plugin, *fault.arguments)
    ended = run_command("test", *options, folder=folder, report="report")
    assert (folder / "report" / "run.json").exists(), ended.output
    return ended


def expected(fault: Fault, result: Result) -> tuple[Outcome, str]:
    """Return how a promise must end with the fault, and what its message must match."""
    for outcome, promises in (
        (Outcome.FAILED, fault.failed),
        (Outcome.INCONCLUSIVE, fault.inconclusive),
        (Outcome.MESH_NOT_READY, fault.not_ready),
    ):
        if result.promise in promises and result.outcome is not Outcome.NOT_SUPPORTED:
            return outcome, promises[result.promise]
    elsewhere = result.promise.startswith(("addon ", "control plane: "))
    missing = elsewhere and result.outcome is Outcome.NOT_SUPPORTED
    return Outcome.NOT_SUPPORTED if missing else Outcome.PASSED, ""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(fault.name, marks=pytest.mark.long if fault.is_long else ())
        for fault in load_faults().values()
    ],
)
def test_fault(name: str, tmp_path: Path) -> None:
    fault = load_faults()[name]
    if fault.needs and importlib.import_module(ADDON + fault.needs).find_command(None) is None:
        assert "CI" not in os.environ, f"{fault.needs} must be there in CI"
        pytest.skip(f"{fault.needs} is not on this machine")
    ended = run(fault, tmp_path)
    for result in ended.all_results:
        outcome, pattern = expected(fault, result)
        assert result.outcome is outcome, f"{result.name} is {result.outcome}:\n{ended.output}"
        assert re.search(pattern, result.message, re.S), f"{result.name}: {result.message}"
    assert {*fault.failed, *fault.inconclusive, *fault.not_ready} <= {
        result.promise for result in ended.all_results
    }
    assert ended.code == fault.exit_code, ended.output
    for result in ended.all_results:
        if result.outcome is Outcome.FAILED and result.checks:
            assert_complete(result, ended, tmp_path)
        assert_settled_first(result)


def assert_settled_first(result: Result) -> None:
    """Nothing is judged on a mesh that has not settled, and nothing was sent until it had."""
    if result.outcome is Outcome.MESH_NOT_READY:
        assert (result.checks, result.served) == ((), None)
    elif result.checks:
        assert result.served is not None
        assert result.served.requests == 0


def assert_complete(result: Result, ended: EndedCommand, folder: Path) -> None:
    """A failure has its parts: they are in the record and on the terminal."""
    for part in PARTS:
        assert f"\n{part}" in result.message, result.message
    if result.rule:
        assert f", rule at {result.rule}" in result.message
    assert list((folder / result.diagnosis).glob("*.config_dump.json"))
    assert result.name in ended.output
