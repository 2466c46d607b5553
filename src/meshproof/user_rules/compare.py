"""From an answer to the words for it: who gave it and what of it is not as its case says."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from meshproof.base.errors import Inconclusive
from meshproof.mesh.echo.case_mesh import CaseMesh
from meshproof.mesh.echo.listener import SEEN_AUTHORITY, SEEN_HEADER, SEEN_PATH, SERVED_BY
from meshproof.mesh.echo.workloads import Ambiguity
from meshproof.mesh.envoy.listeners import MIRROR
from meshproof.oracle.actions import Arrival, ProxyReply, ExpectedHeaders
from meshproof.oracle.conditions import shorten
from meshproof.oracle.derive import Case
from meshproof.traffic.failure_analysis import POLICY_REFUSAL, is_policy_refusal, describe_response
from meshproof.traffic.http import Visit

COPIED, NOT_COPIED = "copied", "not copied"
AT_ONCE = "at once"
#: Clocks and timers may differ by so much (seconds).
_EARLY = 0.02
_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True)
class Answers:
    """The answers to a case.

    `names` is name of an echo workload -> destination in words, `shares` destination -> share,
    `hiding` what could answer in the place of the case's own route without a strange answer.
    """

    case: Case
    names: Mapping[str, str]
    shares: Mapping[str, float]
    hiding: Sequence[Ambiguity] = ()

    @classmethod
    def of(cls, case: Case, mesh: CaseMesh) -> Answers:
        """Return the answers to a case of a mesh. Raises TwoAtOnce as `Workloads.names` does."""
        known = mesh.workloads
        return cls(case, known.names(case), known.expected(case), known.hiding(case))

    @cached_property
    def expected(self) -> dict[str, float]:
        """Label -> share (0..1, summing to 1); see `label`."""
        reply = self.case.answer.proxy_reply
        replied = {_named(reply): self.case.answer.proxy_reply_share} if reply else {}
        return {**self.shares, **replied}

    @property
    def wanted(self) -> str:
        """What is expected, in words."""
        least = self.case.answer.min_seconds
        after = f" after {least:.4g} s" if least else ""
        return f"{' or '.join(self.expected)} answers{after}"

    @property
    def copied(self) -> dict[str, float]:
        """What `copies` must give, by share."""
        share = self.case.answer.mirrors[0][1]
        return {COPIED: share, NOT_COPIED: 1 - share}

    def may_hide(self, found: Sequence[Visit]) -> bool:
        """Say whether more answers are needed to tell the case's own route from others."""
        if any(self.label(visit) not in self.expected for visit in found):
            return False
        return any(len(found) < one.max_requests for one in self._hidden(found))

    def _hidden(self, found: Sequence[Visit]) -> list[Ambiguity]:
        """Return what may have answered in the place of the case's own route."""
        seen = {visit.headers.get(SERVED_BY, "") for visit in found}
        return [one for one in self.hiding if not one.beyond & seen]

    def wrong(self, found: Sequence[Visit], mesh: CaseMesh) -> str:
        """Return what is wrong with some answers, none of which is a matter of chance.

        Three lines (what happened, what is expected, what was observed), or nothing.
        """
        each = f", each of {len(found)} requests" if len(found) > 1 else ""
        for visit in found:
            label = self.label(visit)
            if label not in self.expected:
                label = label or describe_response(visit)
                said = label if ", but " in label else f"{label} answered"
                expected, observed = f"{self.wanted}{each}", describe_response(visit)
                return f"{said}\nexpected: {expected}\nobserved: {observed}"
        for one in self._hidden(found):
            observed = ", ".join(sorted({visit.headers.get(SERVED_BY, "") for visit in found}))
            return (
                f"only {one.words} answered\n"
                f"expected: {self.wanted}, by any of its workloads{each}\nobserved: {observed}"
            )
        if not self.case.answer.mirrors:
            return ""
        copies = list(self.copies(found, mesh, len(found)))
        count = copies.count(COPIED)
        if count == len(found):
            return ""
        observed = ", ".join(dict.fromkeys(str(one) for one in copies))
        return (
            f"{count} of {len(found)} requests were copied\n"
            f"expected: one copy{each}\nobserved: {observed}"
        )

    def label(self, visit: Visit) -> str | None:
        """Return who answered, or how where no workload did; with what is wrong about it, if any.

        None for an answer of nobody where a workload must answer. Raises Inconclusive for one that
        a policy of the mesh has given.
        """
        served = visit.headers.get(SERVED_BY)
        if served is not None:
            named = self.names.get(served, served)
            arrival = dict(zip(self.shares, self.case.answer.arrivals, strict=False)).get(named)
            wrong = [*self._early(visit), *(_differences(arrival, visit) if arrival else ())]
            return f"{named}, but {', '.join(wrong)}" if wrong else named
        reply = self.case.answer.proxy_reply
        if is_policy_refusal(visit) and (reply is None or reply.body != visit.text):
            raise Inconclusive(POLICY_REFUSAL)
        if reply is None:
            return None
        wrong = [*self._early(visit), *_unlike(reply, visit)]
        if visit.status != reply.status:
            return f"HTTP {visit.status}"
        return f"HTTP {visit.status}, but {', '.join(wrong)}" if wrong else _named(reply)

    @property
    def in_time(self) -> dict[str, float]:
        """What `delay` must give, by share."""
        return {self._late: self.case.answer.delayed_share, AT_ONCE: 1 - self.case.answer.delayed_share}

    @property
    def _late(self) -> str:
        return f"after {self.case.answer.extra_seconds:.4g} s"

    def delay(self, visit: Visit) -> str | None:
        """Return whether an answer was delayed; for one that was not expected what `label` says."""
        label = self.label(visit)
        if label not in self.expected:
            return label
        return self._late if visit.seconds >= self.case.answer.extra_seconds - _EARLY else AT_ONCE

    def copies(self, sample: Iterable[Visit], mesh: CaseMesh, batch: int) -> Iterator[str | None]:
        """Yield for each visit, in send order, whether it was copied; see `CaseMesh.copied`.

        For an answer that was not expected it is what `label` says.
        """
        visits = iter(sample)
        while sent := list(itertools.islice(visits, batch)):
            asked = [
                (dict(visit.request.headers)[MIRROR], visit.headers.get(SERVED_BY, ""))
                for visit in sent
            ]
            for visit, count in zip(sent, mesh.copied(self.case, asked), strict=True):
                label = self.label(visit)
                times = {0: NOT_COPIED, 1: COPIED}.get(count, f"copied {count} times")
                yield times if label in self.expected else label

    def _early(self, visit: Visit) -> Iterator[str]:
        if visit.seconds < self.case.answer.min_seconds - _EARLY:
            yield f"after {visit.seconds:.2g} s, not {self.case.answer.min_seconds:.4g} s"


def _named(reply: ProxyReply) -> str:
    words = f"HTTP {reply.status}"
    if reply.location:
        words += f" to {reply.location}"
    return f"{words} with '{shorten(reply.body)}'" if reply.body else words


def _unlike(reply: ProxyReply, visit: Visit) -> Iterator[str]:
    place = visit.headers.get("location", "")
    if reply.location and _plain_url(place) != reply.location:
        yield f"to {place or 'nowhere'}, not {reply.location}"
    if reply.body is not None and visit.text != reply.body:
        yield f"with '{shorten(visit.text)}', not '{shorten(reply.body)}'"
    yield from _headers("came back", reply.response_headers, visit.headers)


def _plain_url(url: str) -> str:
    """Return a URL without the port that its scheme implies (RFC 3986, 6.2.3)."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.removesuffix(_PORTS.get(scheme, ''))}{slash}{path}"


def _differences(arrival: Arrival, visit: Visit) -> Iterator[str]:
    for what, key, wanted in (
        ("path", SEEN_PATH, arrival.path),
        ("authority", SEEN_AUTHORITY, arrival.authority),
    ):
        seen = visit.headers.get(key, "")
        if seen != wanted:
            yield f"{what} arrived as {shorten(seen)}, not {shorten(wanted)}"
    told = {
        name.removeprefix(SEEN_HEADER): value
        for name, value in visit.headers.items()
        if name.startswith(SEEN_HEADER)
    }
    yield from _headers("arrived", arrival.request_headers, told)
    yield from _headers("came back", arrival.response_headers, visit.headers)


def _headers(how: str, wanted: ExpectedHeaders, seen: Mapping[str, str]) -> Iterator[str]:
    for name, value in wanted:
        found = seen.get(name)
        if found == value or (value is not None and "%" in value and found is not None):
            continue
        if found is None:
            yield f"{name} is missing, '{shorten(value or '')}' expected"
        elif value is None:
            yield f"{name} {how} as '{shorten(found)}', not removed"
        else:
            yield f"{name} {how} as '{shorten(found)}', not '{shorten(value)}'"
