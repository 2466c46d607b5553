"""Explains a verdict: what the wrong responses look like, and what they have in common.

The analysis helps to find a fault. It decides nothing: a verdict rests on labels alone, and visits
that are sent after the verdict are no part of it.
"""

from __future__ import annotations

import html
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from meshproof.base.clues import Clue
from meshproof.base.errors import Inconclusive, NotReady
from meshproof.mesh.http import HttpRequest, HttpResponse
from meshproof.traffic.visits import Visits
from meshproof.verdict import Outcome, Verdict
from meshproof.verdict.phrases import find_only_version, join_names

#: This many visits show how a fault is spread; the judge may decide after fewer.
_MIN_VISITS = 200
#: More visits are sent only if they take at most this many seconds.
_MAX_SECONDS = 30.0
#: Highest chance to call a group of responses free of a fault that it has.
_MAX_MISTAKE = 1e-3
#: Longest quote of a response, in characters.
_MAX_QUOTE = 80
#: Header in which the app behind the ingress names its pod.
_POD_HEADER = "x-served-by"

#: Body that a proxy returns with 403 for an AuthorizationPolicy (Envoy's HTTP filter RBAC).
_RBAC_BODY = "RBAC: access denied"
#: What such a response means, and what the user can do.
POLICY_REFUSAL = (
    f"an AuthorizationPolicy of the mesh refuses the caller (HTTP 403, '{_RBAC_BODY}'), so nothing "
    "is known of the rule; let the run in by policies in Istio's root namespace with action ALLOW, "
    "for pods with the label app.kubernetes.io/managed-by: meshproof and, at the ingress gateway, "
    "for hosts *.test (docs/policies.md)"
)

_RULE_NOT_APPLIED = (
    "all versions answer about equally often, so the rule does not seem to be applied: it is not "
    "served, or a route before it takes everything (route order)"
)
_MATCH_NOT_FITTING = (
    ", or its match does not fit, or an app on the way does not pass on what it matches"
)

_MARKUP = re.compile(r"<(style|script|title)\b.*?</\1>|<[^>]*>", re.S | re.I)
_TROUBLE_WORD = re.compile(r"\b(error|sorry|unavailable|timeout|refused)\b", re.I)


@dataclass(frozen=True)
class Explanation:
    """What the analysis adds to a verdict.

    `summary` says in one line what happened, `clues` say what the wrong responses have in common,
    `curl` is a command line that shows one of them.
    """

    summary: str
    clues: tuple[Clue, ...] = ()
    curl: str = ""


@dataclass(frozen=True)
class _LabelledVisit:
    """What is kept of a visit; `description` is empty where it has a label."""

    request: HttpRequest
    pod: str
    label: str | None
    description: str
    is_refusal: bool


def is_policy_refusal(visit: HttpResponse) -> bool:
    """Say whether an AuthorizationPolicy of the mesh refused the request."""
    return visit.status == 403 and visit.text == _RBAC_BODY


def describe_response(visit: HttpResponse) -> str:
    """Return the status and the first words of a response, from the first line about an error.

    `HTTP 404, empty`, `HTTP 200, "Error fetching product reviews! Sorry, ..."`.
    """
    lines = [" ".join(line.split()) for line in _MARKUP.sub("\n", visit.text).splitlines()]
    first_trouble = next((at for at, line in enumerate(lines) if _TROUBLE_WORD.search(line)), 0)
    text = html.unescape(" ".join(line for line in lines[first_trouble:] if line))
    if not text:
        return f"HTTP {visit.status}, empty"
    quote = text if len(text) <= _MAX_QUOTE else f"{text[:_MAX_QUOTE]}..."
    return f'HTTP {visit.status}, "{quote}"'


class FailureAnalysis:
    """Labels visits as `by` does and keeps what it needs to explain the verdict.

    `by` reads the label of a visit, or names the app whose version is the label.
    """

    def __init__(self, visits: Visits, by: str | Callable[[HttpResponse], str | None]) -> None:
        self._sample = visits
        self._read_label = visits.attribution.find_reader(by) if isinstance(by, str) else by
        self._reads_versions = isinstance(by, str)
        self._visits: list[_LabelledVisit] = []
        self._start = time.monotonic()

    def __call__(self, visit: HttpResponse) -> str | None:
        """Return the label of a visit."""
        label = self._read_label(visit)
        pod = visit.headers.get(_POD_HEADER, "")
        description = describe_response(visit) if label is None else ""
        refusal = is_policy_refusal(visit)
        self._visits.append(_LabelledVisit(visit.request, pod, label, description, refusal))
        return label

    def raise_if_policy_refused(self, verdict: Verdict) -> None:
        """Raise Inconclusive if a policy refused every wrong request: then nothing tests the rule.

        It says how many were refused, with a command line that shows one.
        """
        wrong = [visit for visit in self._visits if _is_wrong(visit.label, verdict)]
        if verdict.holds or not wrong or not all(visit.is_refusal for visit in wrong):
            return
        raise Inconclusive(
            POLICY_REFUSAL,
            observed=f"{len(wrong)} of {len(self._visits)} answers are refusals",
            curl=self._sample.build_curl(wrong[0].request),
        )

    def explain(self, verdict: Verdict, has_match: bool = False) -> Explanation:
        """Return the explanation of a verdict; `has_match` says whether the rule has a match.

        Sends more visits if the rule failed after a few.
        """
        if verdict.holds:
            return Explanation(verdict.statement)
        judged = self._visits[:]
        if verdict.outcome is Outcome.FAILED and verdict.code in ("undeclared", "weight-zero"):
            self._send_more()
        wrong = [visit for visit in judged if _is_wrong(visit.label, verdict)]
        shown_request = wrong[0].request if wrong else self._sample.requests[0]
        clues = [
            self._describe_shares(verdict, has_match),
            _describe_faulty_groups("pod", self._count_groups(verdict, _read_pod)),
            _describe_faulty_groups("request", self._count_groups(verdict, _describe_request)),
        ]
        return Explanation(
            self._summarize(verdict),
            tuple(clue for clue in clues if clue),
            self._sample.build_curl(shown_request),
        )

    def describe_unnamed(self, verdict: Verdict) -> str:
        """Return what the judged answers without a label were: `3 were HTTP 503, empty`."""
        judged = self._visits[: len(verdict.labels)]
        descriptions = Counter(visit.description for visit in judged if visit.label is None)
        return ", ".join(
            f"{count} {'was' if count == 1 else 'were'} {description}"
            for description, count in descriptions.most_common()
        )

    def _send_more(self) -> None:
        """Send visits up to _MIN_VISITS, unless that would take over _MAX_SECONDS at this pace.

        Stops at one that gets no answer.
        """
        seconds = time.monotonic() - self._start
        missing = _MIN_VISITS - len(self._visits)
        if missing <= 0 or seconds / max(1, len(self._visits)) * missing > _MAX_SECONDS:
            return
        try:
            for visit in self._sample.take(missing):
                self(visit)
        except NotReady:
            return

    def _summarize(self, verdict: Verdict) -> str:
        """Return the verdict in one line, with the most frequent wrong response or label."""
        descriptions = Counter(visit.description for visit in self._visits if visit.label is None)
        if verdict.code == "errors" and descriptions:
            description, count = descriptions.most_common(1)[0]
            quantity = "all were" if count == verdict.unnamed else f"{count} were"
            return f"{verdict.reason}; {quantity} {description}"
        only_version = find_only_version(verdict.expected)
        if not self._reads_versions and only_version and verdict.outcome is Outcome.FAILED:
            wrong_counts = {
                label: count for label, count in verdict.counts.items() if label != only_version
            }
            label = max(wrong_counts, key=lambda label: wrong_counts[label])
            return f"{wrong_counts[label]} of {verdict.n} answers: {label}"
        return verdict.statement

    def _describe_shares(self, verdict: Verdict, has_match: bool) -> Clue | None:
        """Say how many visits each label has, and whether that looks like no rule at all."""
        if verdict.code not in ("undeclared", "weight-zero") or len(self._visits) < _MIN_VISITS:
            return None
        counts = Counter(visit.label for visit in self._visits if visit.label is not None)
        shares = ", ".join(f"{label} {count}" for label, count in sorted(counts.items()))
        subject = f"of {sum(counts.values())} visits in all"
        if not self._reads_versions or not _are_even(counts):
            return Clue(subject, shares)
        cause = f"{_RULE_NOT_APPLIED}{_MATCH_NOT_FITTING if has_match else ''}"
        return Clue(subject, f"{shares}; {cause}")

    def _count_groups(
        self, verdict: Verdict, key: Callable[[_LabelledVisit], str]
    ) -> dict[str, tuple[int, int]]:
        """Return the number of wrong and of all visits by `key`."""
        groups: dict[str, tuple[int, int]] = {}
        for visit in self._visits:
            wrong, total = groups.get(key(visit), (0, 0))
            groups[key(visit)] = wrong + _is_wrong(visit.label, verdict), total + 1
        return groups


def _read_pod(visit: _LabelledVisit) -> str:
    return visit.pod


def _describe_request(visit: _LabelledVisit) -> str:
    """Return the request's headers as text, `no header` without any: equal text is one kind."""
    return ", ".join(f"{name}: {value}" for name, value in visit.request.headers) or "no header"


def _is_wrong(label: str | None, verdict: Verdict) -> bool:
    """Say whether the rule promised no response with this label; None (no version) is wrong."""
    if verdict.kind == "presence":
        return label not in verdict.expected
    return label is None or verdict.expected.get(label, 0.0) <= 0


def _are_even(counts: Mapping[str, int]) -> bool:
    """Say whether several labels have about equal counts (within half of the mean)."""
    even_count = sum(counts.values()) / max(1, len(counts))
    return len(counts) > 1 and all(
        abs(count - even_count) <= even_count / 2 for count in counts.values()
    )


def _describe_faulty_groups(noun: str, groups: Mapping[str, tuple[int, int]]) -> Clue | None:
    """Say which groups have all the wrong visits, if the others are surely free of them.

    `groups` are counts of wrong and of all visits by name. None if it is not so, if no group or
    every group has wrong visits, and if a group has no name.
    """
    faulty = {name: group for name, group in groups.items() if group[0]}
    if not faulty or len(faulty) == len(groups) or not all(groups):
        return None
    share = min(wrong / total for wrong, total in faulty.values())
    faultless = [
        name
        for name, (wrong, total) in groups.items()
        if not wrong and (1 - share) ** total <= _MAX_MISTAKE
    ]
    if len(faultless) + len(faulty) < len(groups):
        return None
    counts = "; ".join(
        f"{name}: {wrong} of {total} wrong" for name, (wrong, total) in faulty.items()
    )
    subject = f"only some {noun}s give wrong answers"
    return Clue(subject, f"{counts}; {join_names(faultless)}: none")
