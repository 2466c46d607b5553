"""Sentences that several reports share, so that no two of them can disagree."""

from __future__ import annotations

import re

from meshproof.base.errors import plural
from meshproof.mesh.protocol import Served
from meshproof.run.failure import Failure
from meshproof.run.record import Check, Outcome, Result, Run
from meshproof.verdict.phrases import describe_promise, format_percent, format_points
from meshproof.verdict.report import compute_false_alarm_rate

_UNPRINTABLE = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


#: Parts of a failure that stand before those of its checks.
_BEFORE_CHECKS = ("promise", "cause")


def clean(text: str) -> str:
    r"""Return `text` with control characters spelled out, as `\x1b`.

    XML 1.0 forbids them and a terminal would obey them; names and answers come from strangers.
    """
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def headline(run: Run) -> str:
    """Return the verdict on the run as one sentence without a full stop."""
    total = len(run.results)
    if run.interrupted:
        return f"Interrupted after {plural(total, 'promise')}"
    if not total:
        return "Inconclusive: nothing was checked"
    count = run.count(run.outcome)
    promises = f"{count} of {plural(total, 'promise')}"
    if run.outcome is Outcome.INTERNAL_ERROR:
        return f"Internal error: {promises} could not be checked"
    if run.outcome is Outcome.FAILED:
        return f"Failed: {promises} {_are(count)} broken"
    if run.outcome is Outcome.MESH_NOT_READY:
        return f"Mesh not ready: {promises} could not be checked"
    if run.outcome is Outcome.PASSED:
        return f"Passed: {promises} {_are(count)} kept"
    if not count:
        return f"Inconclusive: none of {plural(total, 'promise')} was checked"
    return f"Inconclusive: {promises} {_are(count)} undecided"


def counts(run: Run) -> str:
    """Return `6 passed, 1 failed`: how many results ended with each outcome that occurs."""
    found = [(run.count(outcome), outcome) for outcome in Outcome]
    return ", ".join(f"{count} {outcome}" for count, outcome in found if count) or "0 promises"


def requests(run: Run) -> int:
    """Return how many requests the verdicts of the run rest on, with those that got no answer."""
    checks = [check for result in run.results for check in result.checks]
    return sum(check.verdict.n + check.transport_errors for check in checks)


def seconds(duration: float) -> str:
    """Return a duration as people say it: `0.4 s`, `14 s`, `2 min 5 s`."""
    if duration < 9.95:
        return f"{duration:.1f} s"
    minutes, rest = divmod(round(duration), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def settled(served: Served) -> str:
    """Return how the mesh settled before anything was judged."""
    sent = plural(served.requests, "request")
    return (
        f"{plural(served.proxies, 'proxy', 'proxies')} took version {served.version[:8]} in "
        f"{served.seconds:.2f} s; {sent} before that, none counted"
    )


def name(check: Check) -> str:
    """Return what the check is called; one without a name goes by the app that it judges."""
    return check.name or check.by


def expected(check: Check) -> str:
    """Return what was promised: `v1 50 %, v3 50 % (within 10 points)`."""
    return f"{describe_promise(check.verdict.kind, check.verdict.expected)} ({bound(check)})"


def bound(check: Check) -> str:
    """Return which error the check does not let through."""
    settings, shares = check.verdict.settings, check.verdict.expected.values()
    if check.verdict.kind == "presence":
        return f"a share of {format_percent(settings.present)} or more is seen"
    bounds = []
    if any(0 < share < 1 for share in shares):
        bounds.append(f"within {format_points(settings.tolerance)}")
    if any(share in (0, 1) for share in shares):
        bounds.append(f"leak below {format_percent(settings.leak)}")
    return ", ".join(bounds)


def alpha(check: Check) -> str:
    """Return the chance at most that a kept promise fails this check, shares and order together."""
    return f"{compute_false_alarm_rate(check.verdict):.2g}"


def observed(check: Check) -> str:
    """Return what was seen: counts with intervals, the reason, n and the error rates."""
    lost = f" {check.transport_errors} more had no answer." if check.transport_errors else ""
    return check.verdict.paragraph() + lost


def said(result: Result) -> list[str]:
    """Return what a result says for itself, without the outcome, which stands beside it."""
    if result.failure or result.reason:
        return [result.summary]
    if len(result.checks) == 1:
        return [result.checks[0].verdict.statement]
    return [f"{name(check)}: {check.verdict.statement}" for check in result.checks]


def parts(result: Result) -> list[tuple[str, str]]:
    """Return the parts of a failure, each with its label; with those of each failed check.

    A result without a failure has the parts that it knows itself: its promise and its checks.
    """
    failure = result.failure or Failure(
        result.summary, cause=result.reason, promise=result.title, location=result.rule
    )
    if failure.observed:
        return failure.parts
    judged: list[tuple[str, str]] = []
    for check in result.checks:
        if not check.verdict.holds:
            judged.append(("expected", f"{name(check)}: {expected(check)}"))
            judged.append(("observed", observed(check)))
            judged.append(("see it", check.curl))
    known = failure.parts
    at = next(
        (at for at, (label, _) in enumerate(known) if label not in _BEFORE_CHECKS), len(known)
    )
    return [part for part in (*known[:at], *judged, *known[at:]) if part[1]]


def failure(result: Result) -> str:
    """Return the parts of a failure as lines of text."""
    return "\n".join(f"{label}: {text}" for label, text in parts(result))
