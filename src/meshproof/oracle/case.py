"""Cases, the plan of all cases, and which routes they cover."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from meshproof.base.names import MESH
from meshproof.documents.manifest import At
from meshproof.oracle import hosts
from meshproof.oracle.actions import ExpectedAnswer, Shares
from meshproof.oracle.conditions import Call, shorten
from meshproof.oracle.dead_ends import DeadEnd
from meshproof.oracle.pod_keys import PodKey
from meshproof.rules.judge_options import Options
from meshproof.rules.model import RouteTable


@dataclass(frozen=True)
class Case:
    """A request and the expected answer.

    `id` is readable and unique within its rule set. `title` is the sentence that the case proves.
    `shares` are destination -> share (0..1), empty where no destination answers. Together with
    `answer.proxy_reply_share` they sum to 1. `status` is the status of a destination's answer
    (200), else that of the proxy's reply. `route_index` is the route that decides, None for no
    route. `at` is the position of the route or condition that the case is about. `table_at` is
    that of its route table, `table_index` the table's index in the rule set. `options` are the
    judge's options that its rule sets. `alternative_shares` are the shares of every route of the
    table, and of no route: who answers if the wrong route takes the call. `dead_ends` are its
    destinations that cannot answer. With `repeats_split` an earlier case judges the same split of
    the same route as closely as its weights ask for, and this one need not. With `pod_key` it is
    about which pod answers.
    """

    id: str
    title: str
    call: Call
    shares: Shares
    status: int
    route_index: int | None
    at: At
    table_at: At = field(compare=False)
    answer: ExpectedAnswer = field(default_factory=ExpectedAnswer)
    options: Options = ()
    table_index: int = field(default=0, compare=False)
    alternative_shares: tuple[Shares, ...] = field(default=(), compare=False)
    dead_ends: tuple[DeadEnd, ...] = field(default=(), compare=False)
    repeats_split: bool = field(default=False, compare=False)
    pod_key: PodKey | None = None

    @property
    def token(self) -> str:
        """A word that marks the case's requests."""
        return hashlib.sha256(self.id.encode()).hexdigest()[:16]

    @property
    def needs_judge(self) -> bool:
        """True when chance decides the outcome of a request, so that a judge must decide.

        An open answer is not judged.
        """
        if self.answer.is_open:
            return False
        if self.answer.mirrors:
            return self.answer.mirrors[0][1] < 1
        if self.answer.delayed_share:
            return True
        return len(self.outcome_shares) > 1 and not self.answer.ignores_shares

    @property
    def outcome_shares(self) -> tuple[float, ...]:
        """The share (0..1) of each possible outcome.

        An outcome is who answers, whether a request is mirrored, or whether it is delayed.
        """
        if self.answer.delayed_share:
            return self.answer.delayed_share, 1 - self.answer.delayed_share
        if self.answer.mirrors:
            mirrored_share = self.answer.mirrors[0][1]
            return mirrored_share, 1 - mirrored_share
        proxy = (self.answer.proxy_reply_share,) if self.answer.proxy_reply else ()
        return (*(share for _, share in self.shares), *proxy)


@dataclass(frozen=True)
class Coverage:
    """Which routes of a table a case reaches, by index; the others with the reason why not.

    `unchecked_pairs` counts pairs of a match and a later route that were not searched for a
    request that both take. `unordered` are tables that take some of its requests, too, where
    nothing says which of both comes first.
    """

    table: RouteTable
    reached: tuple[int, ...]
    unreached: tuple[tuple[int, str], ...]
    unchecked_pairs: int = 0
    unordered: tuple[RouteTable, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All cases of a rule set and the coverage of its routes."""

    cases: tuple[Case, ...]
    coverage: tuple[Coverage, ...]

    @property
    def coverage_share(self) -> float:
        """The share of all routes that a case reaches, 0..1."""
        routes = sum(len(coverage.table.routes) for coverage in self.coverage)
        reached = sum(len(coverage.reached) for coverage in self.coverage)
        return reached / routes if routes else 0.0


def is_hidden_from_caller(table: RouteTable, call: Call) -> bool:
    """Say whether the caller's sidecar gets no route of the table: each match is for others.

    Such a sidecar sends requests as if there were no rule. With at least one route it would
    answer 404 to a request that no match takes.
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


def is_named_host(table: RouteTable, call: Call) -> bool:
    """Say whether a table has the host of a call's Host header, or a wildcard that covers it."""
    name = call.host_header.partition(":")[0]
    return any(hosts.covers(host, name) for host in table.hosts)


def describe_answer(case: Case, service: str) -> str:
    """Return in words who answers a case, or how the proxy answers it."""
    answer = case.answer
    delay = f" after {answer.min_seconds:.4g} s" if answer.min_seconds else ""
    if not case.shares:
        return f"{answer.proxy_reply.summary if answer.proxy_reply else case.status}{delay}"
    outcomes = [
        (
            (destination.subset or "any version")
            if destination.owner == service
            else str(destination),
            share,
        )
        for destination, share in case.shares
    ]
    if answer.proxy_reply:
        outcomes.append((f"{answer.proxy_reply.summary} (aborted)", answer.proxy_reply_share))
    if len(outcomes) == 1:
        return f"{outcomes[0][0]}{_describe_rewrite(case)}{delay}"
    shares = ", ".join(f"{name} {share * 100:.4g} %" for name, share in outcomes)
    return f"{shares}{_describe_rewrite(case)}{delay}"


def _describe_rewrite(case: Case) -> str:
    """Return in words how path and authority change on the way."""
    arrival, *_ = case.answer.arrivals
    path, _, _ = arrival.path.partition("?")
    description = f" as {shorten(path)}" if path != case.call.path else ""
    if arrival.authority != case.call.host_header:
        description += f" at {shorten(arrival.authority)}"
    return description


def describe_header_changes(answer: ExpectedAnswer) -> list[str]:
    """Return in words which headers must reach destinations, and which must come back."""
    changes: dict[str, None] = {}
    for arrival in answer.arrivals:
        for headers, verb in (
            (arrival.request_headers, "arrives as"),
            (arrival.response_headers, "comes back as"),
        ):
            for name, value in headers:
                change = "is removed" if value is None else f"{verb} '{shorten(value)}'"
                changes[f"{name} {change}"] = None
    return list(changes)


def mark_repeated_splits(cases: Iterable[Case]) -> Iterator[Case]:
    """Yield the cases; of those that judge one split of one route, all but the first are marked.

    Envoy draws by the weights of a route, whichever request it takes.
    """
    splits: set[tuple[object, ...]] = set()
    for case in cases:
        is_mirrored, is_delayed = bool(case.answer.mirrors), bool(case.answer.delayed_share)
        split = case.table_index, case.route_index, case.outcome_shares, is_mirrored, is_delayed
        yield replace(case, repeats_split=split in splits) if case.needs_judge else case
        if case.needs_judge and not case.dead_ends:
            splits.add(split)


def drop_repeats(cases: Iterable[Case]) -> Iterator[Case]:
    """Yield the cases without repeated requests; a number makes equal ids unique."""
    requests: set[tuple[object, ...]] = set()
    ids: Counter[str] = Counter()
    for case in cases:
        answer = case.answer
        request = case.call, answer.instruction_headers, answer.mirrors, answer.delayed_share
        if request in requests:
            continue
        requests.add(request)
        ids[case.id] += 1
        number = ids[case.id]
        yield case if number == 1 else replace(case, id=f"{case.id} ({number})")
