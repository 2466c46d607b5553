"""Sentences that several reports share, so that no two of them can disagree."""

from __future__ import annotations

import re

from meshproof.base.errors import plural
from meshproof.mesh.protocol import Served
from meshproof.run.record import Check, Outcome, Result, Run
from meshproof.verdict.phrases import percent, points, promise
from meshproof.verdict.report import false_alarm

_UNPRINTABLE = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


# How a message names its parts, one to a line.
LABELS = ("promise", "expected", "observed", "see it", "clues", "diagnosis")


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
    return f"{promise(check.verdict.kind, check.verdict.expected)} ({bound(check)})"


def bound(check: Check) -> str:
    """Return which error the check does not let through."""
    settings, shares = check.verdict.settings, check.verdict.expected.values()
    if check.verdict.kind == "presence":
        return f"a share of {percent(settings.present)} or more is seen"
    bounds = []
    if any(0 < share < 1 for share in shares):
        bounds.append(f"within {points(settings.tolerance)}")
    if any(share in (0, 1) for share in shares):
        bounds.append(f"leak below {percent(settings.leak)}")
    return ", ".join(bounds)


def alpha(check: Check) -> str:
    """Return the chance at most that a kept promise fails this check, shares and order together."""
    return f"{false_alarm(check.verdict):.2g}"


def observed(check: Check) -> str:
    """Return what was seen: counts with intervals, the reason, n and the error rates."""
    lost = f" {check.transport_errors} more had no answer." if check.transport_errors else ""
    return check.verdict.paragraph() + lost


def said(result: Result) -> list[str]:
    """Return what a result says for itself, without the outcome, which stands beside it."""
    if result.message:
        lines = [result.summary]
    elif len(result.checks) == 1:
        lines = [str(result.checks[0].verdict)]
    else:
        lines = [f"{name(check)}: {check.verdict}" for check in result.checks]
    return [_bare(line, result) for line in lines]


def _bare(line: str, result: Result) -> str:
    for lead in ("", *(f"{name(check)}: " for check in result.checks)):
        if line.startswith(f"{lead}{result.outcome}: "):
            return lead + line.removeprefix(f"{lead}{result.outcome}: ")
    return line


def parts(result: Result) -> list[tuple[str, str]]:
    """Return the parts of a failure: promise, cause, expected, observed, a curl, the diagnosis.

    What the message has under such a name is taken from it, the rest from the result itself.
    """
    told = _told(result)
    where = f", rule at {result.rule}" if result.rule else ""
    found = [("promise", told.pop("promise", result.title + where))]
    found.append(("cause", told.pop("cause", "")))
    if "observed" not in told:
        for check in result.checks:
            if not check.verdict.holds:
                found.append(("expected", f"{name(check)}: {expected(check)}"))
                found.append(("observed", observed(check)))
                found.append(("see it", check.curl))
    diagnosis = told.pop("diagnosis", result.diagnosis)
    found += [*told.items(), ("diagnosis", diagnosis)]
    return [(label, text) for label, text in found if text]


def _told(result: Result) -> dict[str, str]:
    """Return what the message says by label; without one it is the cause.

    A line that only repeats a verdict is left out: the observation says it in full.
    """
    verdicts = tuple(str(check.verdict) for check in result.checks)
    told: dict[str, str] = {}
    label = "cause"
    for line in result.message.splitlines():
        word, _, rest = line.partition(": ")
        if word in LABELS:
            label, line = word, rest
        elif line.endswith(verdicts):
            continue
        told[label] = f"{told[label]}\n{line}" if label in told else line
    return told


def failure(result: Result) -> str:
    """Return the parts of a failure as lines of text."""
    return "\n".join(f"{label}: {text}" for label, text in parts(result))
