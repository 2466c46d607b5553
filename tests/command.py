"""Runs the command in a process of its own, and shows that nothing of the run is left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from meshproof.mesh.process import processes
from meshproof.run.record import Outcome, Result, Run
from tests import ROOT


@dataclass
class EndedCommand:
    """Exit code, standard output with standard error, and the recorded results, by promise."""

    code: int
    output: str
    all_results: list[Result]

    @property
    def results(self) -> dict[str, Result]:
        """Promise -> its result; the last one where a promise has several dialects."""
        return {result.promise: result for result in self.all_results}

    def list_failed(self) -> list[str]:
        """Return the promises that failed, in the order of the run."""
        return [
            promise for promise, result in self.results.items() if result.outcome is Outcome.FAILED
        ]

    def require_failed(self, expected: Mapping[str, str]) -> list[Result]:
        """Check that exactly these promises failed, each with its words; return them."""
        assert self.code == 1, self.output
        assert sorted(self.list_failed()) == sorted(expected), self.output
        self.require_words(expected)
        return [self.results[promise] for promise in expected]

    def require_words(self, expected: Mapping[str, str]) -> None:
        """Check that the failure of each promise has these words."""
        for promise, words in expected.items():
            text = describe_failure(self.results[promise])
            assert words in text, text


def describe_failure(result: Result) -> str:
    """Return what happened and why: what was promised, and where, is no part of it."""
    assert result.failure is not None, result
    lines = [f"{label}: {text}" for label, text in result.failure.parts if label != "cause"]
    return "\n".join([result.failure.cause or result.failure.summary, *lines])


def run_command(*arguments: str, folder: Path, report: str = "meshproof-report") -> EndedCommand:
    """Run `meshproof` in `folder`, where it writes its report; nothing of the run may be left."""
    with subprocess.Popen(
        [sys.executable, "-m", "meshproof", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        output, _ = process.communicate(timeout=180)
    require_nothing_left(process.pid)
    record = folder / report / "run.json"
    results = Run.from_json(record.read_text()).results if record.exists() else []
    return EndedCommand(process.returncode, output, results)


def require_nothing_left(pid: int) -> None:
    """A run's folder is called after its process; every process of it names the folder."""
    run_name = f"{processes.ensure_runs_folder()}/run-{pid}-"
    folders = [str(run.path) for run in processes.list_runs()]
    assert [path for path in folders if path.startswith(run_name)] == []
    survivors = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(processes.RUN_VARIABLE, "").startswith(run_name):
                survivors.append(process.cmdline())
        except psutil.Error:  # it has just ended, or it is not ours
            continue
    assert survivors == []
