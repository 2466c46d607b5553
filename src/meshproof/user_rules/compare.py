"""Compares the visits of a case with what the case expects, and describes what differs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from meshproof.base.errors import Inconclusive, TlsFailed, pluralize
from meshproof.base.names import MIRROR_HEADER
from meshproof.mesh.echo.case_mesh import CaseMesh
from meshproof.mesh.echo.listener import MarkerHeaders
from meshproof.mesh.echo.workloads import FALSE_ALARM, Ambiguity
from meshproof.mesh.http import HttpResponse
from meshproof.mesh.local_sender import LocalSender
from meshproof.oracle.actions import Arrival, ExpectedHeaders, ProxyReply
from meshproof.oracle.conditions import shorten
from meshproof.oracle.dead_ends import DeadEnd
from meshproof.oracle.derive import Case
from meshproof.oracle.pod_keys import PodKey
from meshproof.run.failure import BrokenPromise
from meshproof.traffic.failure_analysis import POLICY_REFUSAL, describe_response, is_policy_refusal
from meshproof.traffic.visits import Visits
from meshproof.user_rules.causes import explain_dead_end
from meshproof.user_rules.deviation import Deviation
from meshproof.user_rules.loading import COPY_BATCH
from meshproof.user_rules.pod_stays import PodVisits

COPIED, NOT_COPIED = "copied", "not copied"
NOT_DELAYED = "at once"
#: Seconds that clocks and timers may differ by.
_CLOCK_TOLERANCE = 0.02
#: Something delays all requests of a case if the fastest of several takes this many seconds longer
#: than the rules say. A busy machine delays some, not all.
_MAX_LATENESS = 1.0
#: How many seconds Envoy may wait between the tries of a request that fails 10 times, 0.25 each.
_MAX_PAUSES = 2.5
#: How many requests must all be late, and how many where the rules delay each.
_LATE_REQUESTS = 10
_LATE_DELAYED_REQUESTS = 3
#: How many requests show a dead end that all go to, how many at most one that a share goes to, and
#: how many of these are sent at once.
_MIN_DEAD_VISITS = 3
_MAX_DEAD_VISITS = 20_000
_DEAD_BATCH = 50
_ERROR_STATUS = 500
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True)
class Sample:
    """What the judge is given of a case: visits with their label, or labels.

    `expected` is label -> share (0..1, summing to 1).
    """

    visits: Visits | Iterator[str | None]
    expected: Mapping[str, float]
    label: Callable[[HttpResponse], str | None] | None = None


@dataclass(frozen=True)
class ObservedAnswer:
    """Who answered, and how the answer differs from the expected one, in words."""

    responder: str
    differences: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.differences:
            return self.responder
        return f"{self.responder}, but {', '.join(self.differences)}"

    @property
    def summary(self) -> str:
        """What happened, in one line."""
        return str(self) if self.differences else f"{self.responder} answered"


@dataclass(frozen=True)
class CaseComparison:
    """Compares the visits of one case with its expected answer.

    `destinations` maps the name of an echo workload -> description of its destination, `shares`
    destination -> share. `ambiguities` are workloads that could answer instead of the case's own
    route without any visible difference. `markers` are the headers in which workloads tell.
    """

    case: Case
    destinations: Mapping[str, str]
    shares: Mapping[str, float]
    ambiguities: Sequence[Ambiguity] = ()
    markers: MarkerHeaders = field(default_factory=MarkerHeaders)

    @classmethod
    def for_case(cls, case: Case, mesh: CaseMesh) -> CaseComparison:
        """Return the comparison for a case. Raises TwoAtOnce as `Workloads.names` does."""
        workloads = mesh.workloads
        destinations = workloads.map_destinations(case)
        return cls(
            case,
            destinations,
            workloads.expected_shares(case),
            workloads.find_ambiguities(case),
            mesh.markers,
        )

    @cached_property
    def expected_shares(self) -> dict[str, float]:
        """Label of `label` -> expected share (0..1, summing to 1)."""
        reply = self.case.answer.proxy_reply
        reply_share = {_describe_reply(reply): self.case.answer.proxy_reply_share} if reply else {}
        return {**self.shares, **reply_share}

    @property
    def expectation(self) -> str:
        """The expected answer in words: `A or B answers after 2 s`. Without shares."""
        min_seconds = self.case.answer.min_seconds
        after = f" after {min_seconds:.4g} s" if min_seconds else ""
        return f"{' or '.join(self.expected_shares)} answers{after}"

    @property
    def expected_copies(self) -> dict[str, float]:
        """Label of `read_copy_labels` -> expected share."""
        share = self.case.answer.mirrors[0][1]
        return {COPIED: share, NOT_COPIED: 1 - share}

    def needs_more_visits(self, visits: Sequence[HttpResponse]) -> bool:
        """Say whether more visits can still tell the case's route from every other.

        They cannot after a wrong response, nor after an ambiguity's `max_requests`.
        """
        if any(self.label(visit) not in self.expected_shares for visit in visits):
            return False
        ambiguities = self._find_open_ambiguities(visits)
        return any(len(visits) < ambiguity.max_requests for ambiguity in ambiguities)

    def _find_open_ambiguities(self, visits: Sequence[HttpResponse]) -> list[Ambiguity]:
        """Return the ambiguities that these visits do not rule out."""
        workloads = {visit.headers.get(self.markers.served_by, "") for visit in visits}
        return [
            ambiguity
            for ambiguity in self.ambiguities
            if not ambiguity.deciding_workloads & workloads
        ]

    def select_sample(self, visits: Visits, mesh: CaseMesh) -> Sample | None:
        """Return what the judge is given; None where each response alone says what is wrong."""
        if self.case.needs_judge and self.case.answer.mirrors:
            labels = self.read_copy_labels(visits, mesh, COPY_BATCH)
            return Sample(labels, self.expected_copies)
        if self.case.answer.delayed_share:
            return Sample(visits, self.expected_delays, self.delay)
        if self.case.needs_judge:
            return Sample(visits, self.expected_shares, self.label)
        return None

    def find_fault(self, visits: Visits, mesh: CaseMesh) -> BrokenPromise | None:
        """Return what is wrong with responses that must all be alike, or None.

        Sends as many requests as it takes to tell the expected route from every other.
        """
        if self.case.answer.refuses_tls:
            return _find_tls(visits)
        if self.case.pod_key is not None:
            return self._find_pod_fault(self.case.pod_key, visits)
        batch = mesh.workloads.count_visits(self.case)
        sent = visits.take(batch)
        while self.needs_more_visits(sent):
            sent += visits.take(batch)
        is_near = isinstance(mesh.sender(self.case), LocalSender)  # others may be far
        while is_near and self._find_lateness(sent) and len(sent) < self._late_requests:
            sent += visits.take(batch)
        per_request = f", each of {len(sent)} requests" if len(sent) > 1 else ""
        deviation = (
            self._find_wrong_response(sent, per_request)
            or (self._describe_lateness(sent) if is_near else None)
            or self._find_missing_copies(sent, mesh, per_request)
        )
        return deviation.to_broken_promise(visits.curl) if deviation else None

    def _find_pod_fault(self, pod_key: PodKey, visits: Visits) -> BrokenPromise | None:
        """Return what is wrong with which pods a key picks, or None."""
        pod_visits = PodVisits(pod_key, self.markers, visits)
        per_request = f", each of {len(pod_visits.same)} requests"
        deviation = (
            self._find_wrong_response(pod_visits.same, per_request)
            or self._find_wrong_responder(pod_visits.others)
            or pod_visits.find_deviation()
        )
        return deviation.to_broken_promise(visits.curl) if deviation else None

    def find_dead_end(self, visits: Visits, mesh: CaseMesh) -> BrokenPromise | None:
        """Return what is wrong with a case whose requests, or copies, end at a dead end, or None.

        Sends as many requests as it takes to see one of them end there.
        """
        for dead_end in self.case.dead_ends:
            count = _MIN_DEAD_VISITS
            if dead_end.share < 1:
                count = math.ceil(math.log(FALSE_ALARM) / math.log1p(-dead_end.share))
            find = self._count_copied if dead_end.is_mirror else self._count_unanswered
            sent: list[HttpResponse] = []
            while len(sent) < min(count, _MAX_DEAD_VISITS):
                sent += visits.take(min(count, _DEAD_BATCH))
                if deviation := find(sent, dead_end, mesh):
                    cause = explain_dead_end(dead_end)
                    return deviation.to_broken_promise(visits.curl, cause, dead_end.share)
        return None

    def _count_unanswered(
        self, sent: Sequence[HttpResponse], dead_end: DeadEnd, mesh: CaseMesh
    ) -> Deviation | None:
        """Return the deviation if a proxy answered some request with an error, or None."""
        refused = [
            visit
            for visit in sent
            if visit.status >= _ERROR_STATUS and self.markers.served_by not in visit.headers
        ]
        if not refused:
            return None
        response = describe_response(refused[0])
        share = "" if dead_end.share == 1 else f" to {dead_end.share * 100:.4g} % of the requests"
        observed = f"{len(refused)} of {pluralize(len(sent), 'request')}: {response}"
        return Deviation(f"{response}{share}", self.expectation, observed)

    def _count_copied(
        self, sent: Sequence[HttpResponse], dead_end: DeadEnd, mesh: CaseMesh
    ) -> Deviation | None:
        """Return the deviation if no request was copied, or None."""
        labels = list(self.read_copy_labels(sent, mesh, len(sent)))
        if COPIED in labels:
            return None
        expected = f"copies of {dead_end.share * 100:.4g} % of the requests"
        observed = f"0 of {pluralize(len(sent), 'request')}"
        return Deviation("no request was copied", expected, observed)

    def _find_wrong_response(
        self, visits: Sequence[HttpResponse], per_request: str
    ) -> Deviation | None:
        """Return the deviation of the first wrong response, or of workloads that none is of."""
        for visit in visits:
            answer = self._read_answer(visit)
            if answer is None or str(answer) not in self.expected_shares:
                answer = answer or ObservedAnswer(describe_response(visit))
                expected = f"{self.expectation}{per_request}"
                return Deviation(answer.summary, expected, describe_response(visit))
        for ambiguity in self._find_open_ambiguities(visits):
            expected = f"{self.expectation}, by any of its workloads{per_request}"
            workloads = sorted({visit.headers.get(self.markers.served_by, "") for visit in visits})
            summary = f"only {ambiguity.description} answered"
            return Deviation(summary, expected, ", ".join(workloads))
        return None

    def _find_wrong_responder(self, visits: Sequence[HttpResponse]) -> Deviation | None:
        """Return the deviation of requests that arrive otherwise than that of the case."""
        for visit in visits:
            workload = visit.headers.get(self.markers.served_by, "")
            if self.destinations.get(workload) not in self.shares:
                response = describe_response(visit)
                expected = f"{self.expectation} to {visit.request.path}"
                return Deviation(response, expected, response)
        return None

    @property
    def _late_requests(self) -> int:
        return _LATE_DELAYED_REQUESTS if self.case.answer.min_seconds else _LATE_REQUESTS

    @property
    def _max_seconds(self) -> float | None:
        """How long the fastest answer may take, None where an answer may be late."""
        answer = self.case.answer
        if answer.extra_seconds > answer.min_seconds:
            return None
        is_retried = bool(answer.instruction_headers) and not answer.min_seconds
        pauses = _MAX_PAUSES if is_retried else 0.0
        return answer.min_seconds + max(_MAX_LATENESS, answer.min_seconds / 2) + pauses

    def _find_lateness(self, visits: Sequence[HttpResponse]) -> float:
        """Return how many seconds the fastest response took if that is too long, else 0."""
        if any(self.label(visit) not in self.expected_shares for visit in visits):
            return 0.0
        fastest = min(visit.seconds for visit in visits)
        return fastest if self._max_seconds is not None and fastest > self._max_seconds else 0.0

    def _describe_lateness(self, visits: Sequence[HttpResponse]) -> Deviation | None:
        """Return the deviation if all responses are late, or None."""
        seconds = self._find_lateness(visits)
        if not seconds:
            return None
        return Deviation(
            f"delayed: the fastest of {len(visits)} requests took {seconds:.2g} s",
            f"{self.expectation}, within {self._max_seconds:.4g} s at least once",
            describe_response(visits[0]),
        )

    def _find_missing_copies(
        self, visits: Sequence[HttpResponse], mesh: CaseMesh, per_request: str
    ) -> Deviation | None:
        """Return the deviation of requests of which each must be mirrored, or None."""
        if not self.case.answer.mirrors:
            return None
        labels = list(self.read_copy_labels(visits, mesh, len(visits)))
        copied_count = labels.count(COPIED)
        if copied_count == len(visits):
            return None
        summary = f"{copied_count} of {len(visits)} requests were copied"
        observed = ", ".join(dict.fromkeys(str(label) for label in labels))
        return Deviation(summary, f"one copy{per_request}", observed)

    def label(self, visit: HttpResponse) -> str | None:
        """Return the destination that answered, or the status; with the differences, if any.

        None if no workload answered although one must. Raises Inconclusive for a response that
        a policy of the mesh gave.
        """
        answer = self._read_answer(visit)
        return str(answer) if answer else None

    def _read_answer(self, visit: HttpResponse) -> ObservedAnswer | None:
        """Return who answered, and the differences; None and raises as `label` does."""
        workload = visit.headers.get(self.markers.served_by)
        if workload is not None:
            destination = self.destinations.get(workload, workload)
            arrivals = dict(zip(self.shares, self.case.answer.arrivals, strict=False))
            differences = list(self._describe_early(visit))
            if arrival := arrivals.get(destination):
                differences += _compare_arrival(arrival, visit, self.markers)
            return ObservedAnswer(destination, tuple(differences))
        reply = self.case.answer.proxy_reply
        if is_policy_refusal(visit) and (reply is None or reply.body != visit.text):
            raise Inconclusive(POLICY_REFUSAL)
        if reply is None:
            return None
        if visit.status != reply.status:
            return ObservedAnswer(f"HTTP {visit.status}")
        differences = [*self._describe_early(visit), *_compare_reply(reply, visit)]
        if differences:
            return ObservedAnswer(f"HTTP {visit.status}", tuple(differences))
        return ObservedAnswer(_describe_reply(reply))

    @property
    def expected_delays(self) -> dict[str, float]:
        """Label of `delay` -> expected share."""
        return {
            self._delayed_label: self.case.answer.delayed_share,
            NOT_DELAYED: 1 - self.case.answer.delayed_share,
        }

    @property
    def _delayed_label(self) -> str:
        return f"after {self.case.answer.extra_seconds:.4g} s"

    def delay(self, visit: HttpResponse) -> str | None:
        """Return whether the response was delayed; `label` if it was not an expected one."""
        label = self.label(visit)
        if label not in self.expected_shares:
            return label
        is_delayed = visit.seconds >= self.case.answer.extra_seconds - _CLOCK_TOLERANCE
        return self._delayed_label if is_delayed else NOT_DELAYED

    def read_copy_labels(
        self, sample: Iterable[HttpResponse], mesh: CaseMesh, batch: int
    ) -> Iterator[str | None]:
        """Yield for each visit, in send order, whether it was copied; see `CaseMesh.copied`.

        For a response that was not expected, yield what `label` returns.
        """
        visits = iter(sample)
        while batch_visits := list(itertools.islice(visits, batch)):
            sent_copies = [
                (
                    dict(visit.request.headers)[MIRROR_HEADER],
                    visit.headers.get(self.markers.served_by, ""),
                )
                for visit in batch_visits
            ]
            for visit, count in zip(
                batch_visits, mesh.count_copies(self.case, sent_copies), strict=True
            ):
                label = self.label(visit)
                copy_label = {0: NOT_COPIED, 1: COPIED}.get(count, f"copied {count} times")
                yield copy_label if label in self.expected_shares else label

    def _describe_early(self, visit: HttpResponse) -> Iterator[str]:
        """Yield a difference if the response came too early."""
        if visit.seconds < self.case.answer.min_seconds - _CLOCK_TOLERANCE:
            yield f"after {visit.seconds:.2g} s, not {self.case.answer.min_seconds:.4g} s"


def _find_tls(visits: Visits) -> BrokenPromise | None:
    """Return what is wrong with the one visit to a gateway that must refuse TLS; None if it does.

    Wrong is any answer, and a handshake that goes as far as a certificate.
    """
    try:
        (answer,) = visits.take(1)
    except TlsFailed as failure:
        if failure.is_refused:
            return None
        return BrokenPromise("TLS was not refused", "no TLS", failure.observed, failure.curl)
    observed = describe_response(answer)
    return BrokenPromise("TLS was not refused", "no TLS", observed, visits.curl)


def _describe_reply(reply: ProxyReply) -> str:
    """Return the response of a proxy in words."""
    text = f"HTTP {reply.status}"
    if reply.location:
        text += f" to {reply.location}"
    return f"{text} with '{shorten(reply.body)}'" if reply.body else text


def _compare_reply(reply: ProxyReply, visit: HttpResponse) -> Iterator[str]:
    """Yield how a response differs from the expected one of a proxy."""
    location = visit.headers.get("location", "")
    if reply.location and _strip_default_port(location) != reply.location:
        yield f"to {location or 'nowhere'}, not {reply.location}"
    if reply.body is not None and visit.text != reply.body:
        yield f"with '{shorten(visit.text)}', not '{shorten(reply.body)}'"
    yield from _compare_headers("came back", reply.response_headers, visit.headers)


def _strip_default_port(url: str) -> str:
    """Return a URL without the port that its scheme implies (RFC 3986, 6.2.3)."""
    scheme, _, remainder = url.partition("://")
    authority, slash, path = remainder.partition("/")
    return f"{scheme}://{authority.removesuffix(_DEFAULT_PORTS.get(scheme, ''))}{slash}{path}"


def _compare_arrival(
    arrival: Arrival, visit: HttpResponse, markers: MarkerHeaders
) -> Iterator[str]:
    """Yield how the request that the workload received, or its response, differs."""
    for part, header, expected in (
        ("path", markers.path, arrival.path),
        ("authority", markers.authority, arrival.authority),
    ):
        value = visit.headers.get(header, "")
        if value != expected:
            yield f"{part} arrived as {shorten(value)}, not {shorten(expected)}"
    request_headers = {
        name.removeprefix(markers.request_header_prefix): value
        for name, value in visit.headers.items()
        if name.startswith(markers.request_header_prefix)
    }
    yield from _compare_headers("arrived", arrival.request_headers, request_headers)
    yield from _compare_headers("came back", arrival.response_headers, visit.headers)


def _split_list(value: str) -> list[str]:
    """Return the elements of a header's value: some of Envoy's own lists have no space between."""
    return [element.strip() for element in value.split(",")]


def _compare_headers(
    verb: str, expected_headers: ExpectedHeaders, headers: Mapping[str, str]
) -> Iterator[str]:
    """Yield how `headers` differ from the expected ones; a None value means removed."""
    for name, value in expected_headers:
        header_value = headers.get(name)
        has_variable = value is not None and "%" in value  # only Envoy knows its value
        if header_value == value or (has_variable and header_value is not None):
            continue
        if value and header_value and _split_list(header_value) == _split_list(value):
            continue
        if header_value is None:
            yield f"{name} is missing, '{shorten(value or '')}' expected"
        elif value is None:
            yield f"{name} {verb} as '{shorten(header_value)}', not removed"
        else:
            yield f"{name} {verb} as '{shorten(header_value)}', not '{shorten(value)}'"
