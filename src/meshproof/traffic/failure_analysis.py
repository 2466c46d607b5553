"""What answers say beside their version: which were wrong, and what the wrong ones share.

Clues help to find a fault. They decide nothing: a verdict rests on labels alone, and what is looked
at here after a verdict is no part of it.
"""

from __future__ import annotations

import html
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from meshproof.base.errors import Inconclusive, NotReady
from meshproof.traffic.visits import Request, Visit, Visits
from meshproof.verdict import Outcome, Verdict
from meshproof.verdict.phrases import listed, only

#: So many visits show the shape of a fault that the judge saw in fewer.
ENOUGH = 200
#: Seconds that looking further may take; a mesh that answers slowly is not looked at further.
PATIENCE = 30.0
#: Chance at most that a group of answers is called free of a fault though it has it.
DOUBT = 1e-3
#: So much of an answer is quoted.
LONGEST = 80
#: Header by which the app at the way in tells its pod.
SERVED_BY = "x-served-by"

#: What a proxy answers for an AuthorizationPolicy, with 403 (Envoy's HTTP filter RBAC).
_REFUSED = "RBAC: access denied"
#: What such an answer tells, and what to do.
REFUSED = (
    f"an AuthorizationPolicy of the mesh refuses the caller (HTTP 403, '{_REFUSED}'), so nothing "
    "is known of the rule; let the run in by policies in Istio's root namespace with action ALLOW, "
    "for pods with the label app.kubernetes.io/managed-by: meshproof and, at the ingress gateway, "
    "for hosts *.test (docs/policies.md)"
)

_UNSEEN = re.compile(r"<(style|script|title)\b.*?</\1>|<[^>]*>", re.S | re.I)
_TROUBLE = re.compile(r"\b(error|sorry|unavailable|timeout|refused)\b", re.I)


@dataclass(frozen=True)
class Clues:
    """What is known beside a verdict.

    `summary` says in one line what happened, `lines` what the wrong answers share, `curl` is
    a request that was answered wrong.
    """

    summary: str
    lines: tuple[str, ...] = ()
    curl: str = ""


@dataclass(frozen=True)
class _Sighting:
    request: Request
    pod: str
    label: str | None
    words: str
    refused: bool


def refused(visit: Visit) -> bool:
    """Say whether a policy of the mesh has answered, in the place of what rules lead to."""
    return visit.status == 403 and visit.text == _REFUSED


def words(visit: Visit) -> str:
    """Return status and first words of an answer; of a page with trouble in it, those.

    `HTTP 404, empty`, `HTTP 200, "Error fetching product reviews! Sorry, ..."`.
    """
    lines = [" ".join(line.split()) for line in _UNSEEN.sub("\n", visit.text).splitlines()]
    trouble = next((at for at, line in enumerate(lines) if _TROUBLE.search(line)), 0)
    shown = html.unescape(" ".join(line for line in lines[trouble:] if line))
    if not shown:
        return f"HTTP {visit.status}, empty"
    return f'HTTP {visit.status}, "{shown if len(shown) <= LONGEST else shown[:LONGEST] + "..."}"'


class FailureAnalysis:
    """Labels visits as `by` does and remembers what each was."""

    def __init__(self, sample: Visits, by: str | Callable[[Visit], str | None]) -> None:
        self._sample = sample
        self._label = sample.attribution.by(by) if isinstance(by, str) else by
        self._versions = isinstance(by, str)
        self._seen: list[_Sighting] = []
        self._began = time.monotonic()

    def __call__(self, visit: Visit) -> str | None:
        """Return the label of a visit."""
        label = self._label(visit)
        pod = visit.headers.get(SERVED_BY, "")
        said = words(visit) if label is None else ""
        self._seen.append(_Sighting(visit.request, pod, label, said, refused(visit)))
        return label

    def require_let_in(self, verdict: Verdict) -> None:
        """Raise Inconclusive where all that is wrong are refusals: nothing then tells of the rule.

        With how many there were, and a command line that shows one.
        """
        wrong = [one for one in self._seen if _wrong(one.label, verdict)]
        if verdict.holds or not wrong or not all(one.refused for one in wrong):
            return
        raise Inconclusive(
            f"{REFUSED}\nobserved: {len(wrong)} of {len(self._seen)} answers are refusals\n"
            f"see it: {self._sample.curl_of(wrong[0].request)}"
        )

    def clues(self, verdict: Verdict, matching: bool = False) -> Clues:
        """Return what is known beside the verdict; `matching` says that the rule has a match.

        Looks further where the verdict fell after a few answers.
        """
        if verdict.holds:
            return Clues(str(verdict))
        judged = self._seen[:]
        if verdict.outcome is Outcome.FAILED and verdict.code in ("undeclared", "weight-zero"):
            self._look_further()
        wrong = [one for one in judged if _wrong(one.label, verdict)]
        first = wrong[0].request if wrong else self._sample.requests[0]
        found = [
            self._shape(verdict, matching),
            _apart("pod", self._groups(verdict, lambda one: one.pod)),
            _apart("request", self._groups(verdict, lambda one: _named(one.request))),
        ]
        return Clues(
            self._summary(verdict),
            tuple(line for line in found if line),
            self._sample.curl_of(first),
        )

    def _look_further(self) -> None:
        took = time.monotonic() - self._began
        wanted = ENOUGH - len(self._seen)
        if wanted <= 0 or took / max(1, len(self._seen)) * wanted > PATIENCE:
            return
        try:
            for visit in self._sample.take(wanted):
                self(visit)
        except NotReady:
            return

    def _summary(self, verdict: Verdict) -> str:
        strange = Counter(one.words for one in self._seen if one.label is None)
        if verdict.code == "errors" and strange:
            most, times = strange.most_common(1)[0]
            were = "all were" if times == verdict.unnamed else f"{times} were"
            return f"{verdict.outcome}: {verdict.reason}; {were} {most}"
        alone = only(verdict.expected)
        if not self._versions and alone and verdict.outcome is Outcome.FAILED:
            others = {label: count for label, count in verdict.counts.items() if label != alone}
            worst = max(others, key=lambda label: others[label])
            return f"{verdict.outcome}: {others[worst]} of {verdict.n} answers: {worst}"
        return str(verdict)

    def _shape(self, verdict: Verdict, matching: bool) -> str:
        """Say how all answers are spread, and whether that is as without a rule."""
        if verdict.code not in ("undeclared", "weight-zero") or len(self._seen) < ENOUGH:
            return ""
        counts = Counter(one.label for one in self._seen if one.label is not None)
        shown = ", ".join(f"{label} {count}" for label, count in sorted(counts.items()))
        line = f"of {sum(counts.values())} visits in all: {shown}"
        if not self._versions or not _even(counts):
            return line
        return f"{line}; {_UNAPPLIED}{_UNMATCHED if matching else ''}"

    def _groups(
        self, verdict: Verdict, key: Callable[[_Sighting], str]
    ) -> dict[str, tuple[int, int]]:
        """Return wrong answers and all answers by what they share."""
        found: dict[str, tuple[int, int]] = {}
        for one in self._seen:
            wrong, total = found.get(key(one), (0, 0))
            found[key(one)] = wrong + _wrong(one.label, verdict), total + 1
        return found


_UNAPPLIED = (
    "all versions answer about equally often, so the rule does not seem to be applied: it is not "
    "served, or a route before it takes everything (route order)"
)
_UNMATCHED = ", or its match does not fit, or an app on the way does not pass on what it matches"


def _named(request: Request) -> str:
    return ", ".join(f"{name}: {value}" for name, value in request.headers) or "no header"


def _wrong(label: str | None, verdict: Verdict) -> bool:
    if verdict.kind == "presence":
        return label not in verdict.expected
    return label is None or verdict.expected.get(label, 0.0) <= 0


def _even(counts: Mapping[str, int]) -> bool:
    fair = sum(counts.values()) / max(1, len(counts))
    return len(counts) > 1 and all(abs(count - fair) <= fair / 2 for count in counts.values())


def _apart(what: str, groups: Mapping[str, tuple[int, int]]) -> str:
    """Say which groups have all the wrong answers, if others are free of them beyond doubt."""
    bad = {name: group for name, group in groups.items() if group[0]}
    if not bad or len(bad) == len(groups) or not all(groups):
        return ""
    share = min(wrong / total for wrong, total in bad.values())
    free = [
        name
        for name, (wrong, total) in groups.items()
        if not wrong and (1 - share) ** total <= DOUBT
    ]
    if len(free) + len(bad) < len(groups):
        return ""
    wrongs = "; ".join(f"{name}: {wrong} of {total} wrong" for name, (wrong, total) in bad.items())
    return f"only some {what}s give wrong answers: {wrongs}; {listed(free)}: none"
