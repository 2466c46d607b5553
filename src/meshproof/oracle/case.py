"""What is derived from rules: cases, and which routes they cover."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from meshproof.base.names import MESH
from meshproof.documents.manifest import At
from meshproof.oracle.actions import Answer, Shares
from meshproof.oracle.conditions import Call, short
from meshproof.rules.judge_options import Options
from meshproof.rules.model import RouteTable


@dataclass(frozen=True)
class Case:
    """A request and how it must be answered.

    `shares` are destination -> share (0..1), empty where no destination answers; with the part that
    `answer.reply` has of the requests they sum to 1. `status` is that of a destination's answer
    (200), else that of the reply. `route` is the index of the route that decides, or None.
    `id` reads as words and is unique in its rule set; `at` is the place of the route or condition
    that the case is about; `title` is the sentence that it proves; `route` is the place of its
    route, `number` which of the rule set's it is; `options` are those that its rule sets for the
    judge. `rivals` are the shares of every route of the table, and of calls that none takes: what
    would answer in its place if the wrong route took the call.
    """

    id: str
    title: str
    call: Call
    shares: Shares
    status: int
    route: int | None
    at: At
    table: At = field(compare=False)
    answer: Answer = field(default_factory=Answer)
    options: Options = ()
    number: int = field(default=0, compare=False)
    rivals: tuple[Shares, ...] = field(default=(), compare=False)

    @property
    def token(self) -> str:
        """A word that tells the case's requests from those of others."""
        return hashlib.sha256(self.id.encode()).hexdigest()[:16]

    @property
    def split(self) -> bool:
        """True when chance decides who answers, or what is copied, so that it takes a judge."""
        if self.answer.mirrors:
            return self.answer.mirrors[0][1] < 1
        if self.answer.delayed:
            return True
        return len(self.chances) > 1 and not self.answer.unjudged

    @property
    def chances(self) -> tuple[float, ...]:
        """The share (0..1) of each thing that can happen.

        It is who answers, whether a request is copied, or whether its answer is delayed.
        """
        if self.answer.delayed:
            return self.answer.delayed, 1 - self.answer.delayed
        if self.answer.mirrors:
            copied = self.answer.mirrors[0][1]
            return copied, 1 - copied
        replied = (self.answer.replied,) if self.answer.reply else ()
        return (*(share for _, share in self.shares), *replied)


@dataclass(frozen=True)
class Coverage:
    """Which routes of a table have a case that reaches them; the others with the reason why not.

    `unordered` pairs of a match and a later route were not looked at for requests that both take.
    """

    table: RouteTable
    reached: tuple[int, ...]
    unreached: tuple[tuple[int, str], ...]
    unordered: int = 0


@dataclass(frozen=True)
class Plan:
    """All cases of a rule set and the coverage of its routes."""

    cases: tuple[Case, ...]
    coverage: tuple[Coverage, ...]

    @property
    def share(self) -> float:
        """Part of all routes that a case reaches, 0..1."""
        routes = sum(len(one.table.routes) for one in self.coverage)
        return sum(len(one.reached) for one in self.coverage) / routes if routes else 0.0


def unseen(table: RouteTable, call: Call) -> bool:
    """Say whether the sidecar of a caller has nothing of a route: each match is for others.

    Then it sends as if there were no rule, where it would answer 404 to what no match takes.
    Source: Istio, pilot/pkg/networking/core/route, BuildHTTPRoutesForVirtualService.
    """
    matches = [match for route in table.routes for match in route.matches or (None,)]
    return call.gateway == MESH and not any(
        match is None
        or (
            set(match.source) <= set(call.source)
            and match.source_namespace in ("", call.namespace)
            and match.port in (None, call.port)
            and (not match.gateways or MESH in match.gateways)
        )
        for match in matches
    )


def goal(case: Case, service: str) -> str:
    """Return in words who answers a case, or how it is answered."""
    answer = case.answer
    after = f" after {answer.least:.4g} s" if answer.least else ""
    if not case.shares:
        return f"{answer.reply.told if answer.reply else case.status}{after}"
    names = [
        (one.subset or "any version" if one.owner == service else str(one), share)
        for one, share in case.shares
    ]
    if answer.reply:
        names.append((f"{answer.reply.told} (aborted)", answer.replied))
    if len(names) == 1:
        return f"{names[0][0]}{_changed(case)}{after}"
    shares = ", ".join(f"{name} {share * 100:.4g} %" for name, share in names)
    return f"{shares}{_changed(case)}{after}"


def _changed(case: Case) -> str:
    """Return in words what arrives otherwise than it was sent: path and authority."""
    arrival, *_ = case.answer.arrivals
    path, _, _ = arrival.path.partition("?")
    words = f" as {short(path)}" if path != case.call.path else ""
    sent = case.call.sent_to
    return words + (f" at {short(arrival.authority)}" if arrival.authority != sent else "")


def changes(answer: Answer) -> list[str]:
    """Return in words which headers must arrive at destinations, and come back from there."""
    words: dict[str, None] = {}
    for arrival in answer.arrivals:
        for wanted, how in ((arrival.request, "arrives as"), (arrival.response, "comes back as")):
            for name, value in wanted:
                goal = "is removed" if value is None else f"{how} '{short(value)}'"
                words[f"{name} {goal}"] = None
    return list(words)


def unique(cases: Iterable[Case]) -> Iterator[Case]:
    """Yield the cases without repeated calls; equal ids are told apart by a number."""
    seen: set[tuple[object, ...]] = set()
    ids: Counter[str] = Counter()
    for case in cases:
        asked = case.call, case.answer.asked, case.answer.mirrors, case.answer.delayed
        if asked in seen:
            continue
        seen.add(asked)
        ids[case.id] += 1
        number = ids[case.id]
        yield case if number == 1 else replace(case, id=f"{case.id} ({number})")
