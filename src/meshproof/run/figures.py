"""The figures of one check, as names and values: what JUnit reports of any origin hold."""

from __future__ import annotations

from collections.abc import Mapping

from meshproof.run.record import Check
from meshproof.verdict.phrases import describe_bound
from meshproof.verdict.report import compute_false_alarm_rate


def name_check(check: Check) -> str:
    """Return the name of the check, or the app that it judges if it has none."""
    return check.name or check.by


def format_alpha(check: Check) -> str:
    """Return the highest chance that a kept promise fails this check, by shares or order."""
    return f"{compute_false_alarm_rate(check.verdict):.2g}"


def list_check_figures(check: Check) -> list[tuple[str, str]]:
    """Return name and value of the figures of one check that a dashboard may plot."""
    verdict = check.verdict
    figures = [
        ("outcome", str(verdict.outcome)),
        *([("expected", "a failed verdict")] if check.expects_failure else []),
        ("code", verdict.code),
        ("n", str(verdict.n)),
        ("counts", _format_pairs(verdict.counts)),
        ("expected", _format_pairs(verdict.expected)),
        ("bound", describe_bound(check.verdict)),
        ("alpha", format_alpha(check)),
        ("beta", f"{verdict.settings.beta:.3g}"),
        ("limits", "; ".join(verdict.limits())),
        ("without an answer", str(check.transport_errors)),
    ]
    label = name_check(check) or "verdict"
    return [(f"{label}: {name}", value) for name, value in figures]


def _format_pairs(values: Mapping[str, float]) -> str:
    """Return `v1=0.5 v2=0.5`."""
    return " ".join(f"{label}={value:.6g}" for label, value in values.items())
