"""Metrics of the run, `metrics.prom`: for node_exporter's textfile collector or a Pushgateway.

Names and units follow Prometheus' conventions ("Metric and label naming"); an outcome is a state
set: 1 for how it ended, 0 for the others.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from meshproof.base.escaping import escape_line
from meshproof.run.figures import name_check
from meshproof.run.history import read_history
from meshproof.run.record import SEVERITY, Check, Outcome, Result, Run

from . import _files, _phrases
from ._at_end import WriterAtEnd

#: The files that it writes into the report folder.
FILES = ("metrics.prom",)


@dataclass
class Gauge:
    """One metric: its name, what it tells, and its values by labels."""

    name: str
    text: str
    values: dict[tuple[tuple[str, str], ...], float] = field(default_factory=dict)

    def add(self, labels: Mapping[str, str], value: float) -> None:
        """Add a value; of two with the same labels the later one counts."""
        self.values[tuple(labels.items())] = value

    def render(self) -> Iterator[str]:
        """Yield the lines of the metric, none where it has no value."""
        if self.values:
            yield f"# HELP {self.name} {self.text}"
            yield f"# TYPE {self.name} gauge"
        for labels, value in self.values.items():
            listed = ",".join(f'{name}="{_escape(text)}"' for name, text in labels)
            yield f"{self.name}{{{listed}}} {value:.12g}"


class Writer(WriterAtEnd):
    """Writes `metrics.prom` into `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ended(self, run: Run) -> None:
        """Write all metrics."""
        gauges = [
            *_build_run_gauges(run, self._find_last_success(run)),
            *_build_promise_gauges(run),
            *_build_share_gauges(run),
        ]
        lines = [line for gauge in gauges for line in gauge.render()]
        _files.write_report(self._folder / "metrics.prom", "\n".join(lines) + "\n")

    def _find_last_success(self, run: Run) -> str:
        """Return when the last passed run on this kind of mesh began, "" where none is known."""
        if run.outcome is Outcome.PASSED:
            return run.started
        former = [past for past in read_history(self._folder) if past.mesh == run.mesh]
        return next(
            (past.started for past in reversed(former) if past.outcome is Outcome.PASSED), ""
        )


def _build_run_gauges(run: Run, last_success: str) -> list[Gauge]:
    """Return what is known of the whole run."""
    labels = {"mesh": run.mesh}
    outcome = Gauge("meshproof_run_outcome", "How the last run ended: 1 for its outcome.")
    for possible in Outcome:
        outcome.add({**labels, "outcome": possible.value}, float(run.outcome is possible))
    values = [
        Gauge("meshproof_run_exit_code", "Exit code of the last run."),
        Gauge("meshproof_run_duration_seconds", "How long the last run took."),
        Gauge("meshproof_run_requests", "Requests that the outcomes of the last run rest on."),
    ]
    figures = (run.exit_code, run.seconds, _phrases.count_requests(run))
    for gauge, value in zip(values, figures, strict=True):
        gauge.add(labels, value)
    begun = Gauge("meshproof_run_timestamp_seconds", "When the last run began.")
    success = Gauge("meshproof_last_success_timestamp_seconds", "When the last green run began.")
    for gauge, started in ((begun, run.started), (success, last_success)):
        if (timestamp := _read_time(started)) is not None:
            gauge.add(labels, timestamp)
    return [outcome, *values, begun, success]


def _read_time(text: str) -> float | None:
    """Return an ISO 8601 time as Unix time, None where it is none."""
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _build_promise_gauges(run: Run) -> list[Gauge]:
    """Return how each promise ended, and how long it took."""
    outcome = Gauge("meshproof_check_outcome", "How a promise ended: 1 for its outcome.")
    duration = Gauge("meshproof_check_duration_seconds", "How long a promise took.")
    worst = {result.name: result for result in _sort_worst_last(run)}
    for result in worst.values():
        labels = {"mesh": run.mesh, "promise": result.name}
        for possible in Outcome:
            outcome.add({**labels, "outcome": possible.value}, float(result.outcome is possible))
        duration.add(labels, result.seconds)
    return [outcome, duration]


def _sort_worst_last(run: Run) -> list[Result]:
    """Return the results, the worst last."""
    return sorted(run.results, key=lambda result: -SEVERITY.index(result.outcome))


def _build_share_gauges(run: Run) -> list[Gauge]:
    """Return what each check has seen of each version, beside what was declared."""
    requests = Gauge("meshproof_check_requests", "Answers that a check rests on.")
    share = Gauge("meshproof_check_share_ratio", "Share of the answers that a version gave.")
    low = Gauge("meshproof_check_share_low_ratio", "Lower end of the interval of a share.")
    high = Gauge("meshproof_check_share_high_ratio", "Upper end of the interval of a share.")
    declared = Gauge("meshproof_check_share_declared_ratio", "Share that the rule declares.")
    for result in run.results:
        for check in result.checks:
            labels = {"mesh": run.mesh, "promise": result.name, "check": name_check(check)}
            requests.add(labels, check.verdict.n)
            for version, seen, ends in _list_shares(check):
                of_version = {**labels, "version": version}
                share.add(of_version, seen)
                low.add(of_version, ends[0])
                high.add(of_version, ends[1])
                if check.verdict.kind == "weights" and version in check.verdict.expected:
                    declared.add(of_version, check.verdict.expected[version])
    return [requests, share, low, high, declared]


def _list_shares(check: Check) -> Iterator[tuple[str, float, tuple[float, float]]]:
    """Yield version, seen share and interval; nothing where no answer came."""
    verdict = check.verdict
    intervals = verdict.intervals()
    for version, count in verdict.counts.items() if verdict.n else ():
        yield version, count / verdict.n, intervals[version]


def _escape(text: str) -> str:
    """Return the value of a label, as the text format wants it."""
    return escape_line(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
