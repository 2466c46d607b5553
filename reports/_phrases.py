"""Texts that several reports share, so that they cannot disagree."""

from __future__ import annotations

from meshproof.base.errors import pluralize
from meshproof.mesh.protocol import Served
from meshproof.run.broken import BrokenByCause, count_without_cause, group_by_cause
from meshproof.run.figures import name_check
from meshproof.run.record import Check, Outcome, Result, Run
from meshproof.verdict import Outcome as Judged
from meshproof.verdict.phrases import describe_expected, format_rate
from meshproof.verdict.report import describe_fault

#: Labels of a failure that come before the parts of its checks.
_BEFORE_CHECKS = ("promise", "cause", "get it")


def _is_or_are(count: int) -> str:
    """Return the verb for `count` promises."""
    return "is" if count == 1 else "are"


def render_headline(run: Run) -> str:
    """Return the verdict on the run as one sentence without its full stop."""
    total = run.count_supported() or len(run.results)
    if run.interrupted:
        return f"Interrupted after {pluralize(total, 'promise')}"
    if run.error:
        return f"Ended by an error after {pluralize(total, 'promise')}"
    if not total:
        return "Inconclusive: nothing was checked"
    count = run.count(run.outcome)
    promises = f"{count} of {pluralize(total, 'promise')}"
    if run.outcome is Outcome.INTERNAL_ERROR:
        return f"Internal error: {promises} could not be checked"
    if run.outcome is Outcome.FAILED:
        return f"Failed: {promises} {_is_or_are(count)} broken{_count_causes(run)}"
    if run.outcome is Outcome.MESH_NOT_READY:
        return f"Mesh not ready: {promises} could not be checked"
    if run.outcome is Outcome.PASSED:
        return f"Passed: {promises} {_is_or_are(count)} kept"
    return (
        f"Inconclusive: {promises} {_is_or_are(count)} undecided" if count else _explain_open(run)
    )


def list_ruled_out(run: Run) -> list[str]:
    """Return what the passed promises rule out, one line for each chance to miss it."""
    faults_by_rate: dict[float, list[str]] = {}
    for result in run.results:
        for check in result.checks if result.outcome is Outcome.PASSED else ():
            if check.verdict.outcome is Judged.PASSED:
                faults = faults_by_rate.setdefault(check.verdict.settings.beta, [])
                if (fault := describe_fault(check.verdict)) not in faults:
                    faults.append(fault)
    return [
        f"{'; '.join(faults)} (missed at most {format_rate(rate)})"
        for rate, faults in faults_by_rate.items()
    ]


def join_not_supported(run: Run) -> str:
    """Return the names of the promises that this mesh cannot have: `addon jaeger, zipkin; ...`."""
    names_by_kind: dict[str, dict[str, None]] = {}
    for result in run.results:
        if result.is_beyond_mesh:
            separator = ": " if ": " in result.promise else " "
            kind, _, name = result.promise.partition(separator)
            names_by_kind.setdefault(kind + separator, {})[name] = None
    return "; ".join(kind + ", ".join(names) for kind, names in names_by_kind.items())


def _explain_open(run: Run) -> str:
    """Return why a run is inconclusive although no promise of it is undecided."""
    if run.unreached:
        return f"Inconclusive: no request reaches {pluralize(len(run.unreached), 'route')}"
    if run.lacking:
        objects = pluralize(len(run.lacking), "object")
        return f"Inconclusive: {objects} of the rules {_is_or_are(len(run.lacking))} not supported"
    return f"Inconclusive: none of {pluralize(len(run.results), 'promise')} was checked"


def _count_causes(run: Run) -> str:
    """Return `, by 2 causes` where each failure has one that is known."""
    groups = group_by_cause(run)
    return f", by {pluralize(len(groups), 'cause')}" if not count_without_cause(run.results) else ""


def list_cause_parts(group: BrokenByCause) -> list[tuple[str, str]]:
    """Return the labelled parts of a cause: what it breaks, an example, how to mend it."""
    failure = group.example.failure
    parts = (
        ("why", group.cause.why),
        ("breaks", group.breaks),
        ("shares", group.shares),
        (
            "e.g.",
            f"{group.example.name}: {failure.observed}" if failure and failure.observed else "",
        ),
        ("repair", group.cause.repair),
        ("see it", failure.curl if failure else ""),
    )
    return [(label, text) for label, text in parts if text]


def render_counts(run: Run) -> str:
    """Return `6 passed, 1 failed`: how many results ended with each outcome that occurs."""
    counts_by_outcome = [(run.count(outcome), outcome) for outcome in Outcome]
    return (
        ", ".join(f"{count} {outcome}" for count, outcome in counts_by_outcome if count)
        or "0 promises"
    )


def count_requests(run: Run) -> int:
    """Return how many requests the outcomes rest on, counting those without a response."""
    return sum(
        sum(check.verdict.n + check.transport_errors for check in result.checks) or result.requests
        for result in run.results
    )


def format_duration(duration: float) -> str:
    """Return a duration in seconds as text: `0.4 s`, `14 s`, `2 min 5 s`."""
    if duration < 9.95:
        return f"{duration:.1f} s"
    minutes, remainder = divmod(round(duration), 60)
    return f"{minutes} min {remainder} s" if minutes else f"{remainder} s"


def describe_settling(served: Served) -> str:
    """Return how many proxies took the config in how many seconds, before any judged request."""
    sent = pluralize(served.requests, "request")
    return (
        f"{pluralize(served.proxies, 'proxy', 'proxies')} took version {served.version[:8]} in "
        f"{served.seconds:.2f} s; {sent} before that, none counted"
    )


def describe_observed(check: Check) -> str:
    """Return the observation: counts with intervals, the reason, n and the error rates."""
    unanswered = f" {check.transport_errors} more had no answer." if check.transport_errors else ""
    return check.verdict.paragraph() + unanswered


def list_statements(result: Result) -> list[str]:
    """Return what a result says, without its outcome: one statement for each check.

    With a failure or a reason (of a skip ...) it is the summary alone; without checks nothing.
    """
    if result.failure or result.reason:
        return [result.summary]
    if len(result.checks) == 1:
        return [result.checks[0].statement]
    return [f"{name_check(check)}: {check.statement}" for check in result.checks]


def list_parts(result: Result) -> list[tuple[str, str]]:
    """Return the labelled parts of a failure, with those of each failed check.

    Without a failure the parts are those of the result: summary, promise, rule and checks.
    """
    parts = result.parts
    if result.failure and result.failure.observed:
        return parts
    check_parts: list[tuple[str, str]] = []
    for check in result.checks:
        if not check.is_as_expected:
            check_parts.append(
                ("expected", f"{name_check(check)}: {describe_expected(check.verdict)}")
            )
            check_parts.append(("observed", describe_observed(check)))
            check_parts.append(("see it", check.curl))
    before = [part for part in parts if part[0] in _BEFORE_CHECKS]
    after = [part for part in parts if part[0] not in _BEFORE_CHECKS]
    return [part for part in (*before, *check_parts, *after) if part[1]]


def render_failure(result: Result) -> str:
    """Return the parts of a failure as lines of text."""
    return "\n".join(f"{label}: {text}" for label, text in list_parts(result))
