"""What changes between two sets of rules: the requests of both, answered by both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from meshproof.base.errors import UsageError
from meshproof.base.names import MESH, format_labels
from meshproof.oracle.case import Case
from meshproof.oracle.conditions import Call
from meshproof.oracle.explanation import Explanation
from meshproof.rules.model import INGRESS
from meshproof.user_rules.asking import describe_answer, list_changes
from meshproof.user_rules.neighbours import list_neighbours
from meshproof.user_rules.not_proven import name_route
from meshproof.user_rules.sides import Side

#: What a side that a request does not reach at all answers.
NOT_SERVED = "not served"


@dataclass(frozen=True)
class Answer:
    """What a side does with a request: in words, and by parts that compare equal if it is the same.

    `place` is that of the route that takes it, "" for none.
    """

    text: str
    parts: tuple[object, ...] = ()
    place: str = ""
    case: Case | None = None

    def is_same(self, answer: Answer) -> bool:
        """Say whether no request tells one from the other."""
        return self.parts == answer.parts


@dataclass(frozen=True)
class ComparedRequest:
    """A request with the answers of both sides."""

    call: Call
    before: Answer
    after: Answer

    @property
    def text(self) -> str:
        """The request in one line: `GET shop.example.com/api x-beta: true`."""
        call = self.call
        headers = "".join(f" {name}: {value}" for name, value in call.headers)
        port = f":{call.port}" if call.port != 80 and ":" not in call.host_header else ""
        caller = ""
        if call.gateway == MESH:
            labels = format_labels(call.source)
            caller = f" from {call.namespace}{f'/{labels}' if labels else ''}"
        return f"{call.method} {call.host_header}{port}{call.request_target}{headers}{caller}"

    @property
    def is_changed(self) -> bool:
        """Whether the two sides answer differently."""
        return not self.before.is_same(self.after)

    @property
    def is_slow(self) -> bool:
        """Whether a side's rules have it wait."""
        cases = [answer.case for answer in (self.before, self.after) if answer.case]
        return any(case.answer.min_seconds or case.answer.extra_seconds for case in cases)

    @property
    def size(self) -> tuple[int, int, str]:
        """What makes a request small: few headers and parameters, then a short text."""
        call = self.call
        extras = len(call.headers) + len(call.query) + len(call.source) + (call.method != "GET")
        return extras, len(self.text), self.text


@dataclass(frozen=True)
class Change:
    """A difference between the sides: the smallest request that shows it, and how many do."""

    smallest: ComparedRequest
    requests: tuple[ComparedRequest, ...]


def compare_requests(
    before: Side, after: Side, has_neighbours: bool = False
) -> list[ComparedRequest]:
    """Return the requests of both sides' cases, each with what both do with it.

    With `has_neighbours` those around them follow, which no case asks.
    Raises UsageError where the sides have no host in common.
    """
    _require_common_host(before, after)
    calls = dict.fromkeys(
        _as_called(case.call)
        for side in (before, after)
        for case in side.user_rules.plan.cases
        if not case.answer.instruction_headers
    )
    requests = [_compare(before, after, call) for call in calls]
    if has_neighbours:
        neighbours = (_compare(before, after, call) for call in list_neighbours(calls))
        requests += [request for request in neighbours if not request.is_slow]
    return requests


def _compare(before: Side, after: Side, call: Call) -> ComparedRequest:
    """Return a call with what both sides do with it."""
    return ComparedRequest(call, _find_answer(before, call), _find_answer(after, call))


def group_changes(requests: Iterable[ComparedRequest]) -> list[Change]:
    """Return the differences: requests that change alike, between the same routes, are one."""
    groups: dict[tuple[str, ...], list[ComparedRequest]] = {}
    for request in requests:
        if request.is_changed:
            before, after = request.before, request.after
            key = before.text, before.place, after.text, after.place
            groups.setdefault(key, []).append(request)
    return [
        Change(min(group, key=lambda request: request.size), tuple(group))
        for group in groups.values()
    ]


def list_lost_routes(before: Side, after: Side) -> Iterator[str]:
    """Yield in words each route that requests reach before, and none after."""
    reached = {
        (table.name, table.namespace, route.name or index)
        for coverage in before.user_rules.plan.coverage
        for table in (coverage.table,)
        for index, route in enumerate(table.routes)
        if index in coverage.reached
    }
    for coverage in after.user_rules.plan.coverage:
        for index, reason in coverage.unreached:
            table, route = coverage.table, coverage.table.routes[index]
            if (table.name, table.namespace, route.name or index) in reached:
                why = after.name_places(reason)
                yield f"{name_route(index, route)} of {table.name} is no longer reached: {why}"


def _require_common_host(before: Side, after: Side) -> None:
    """Raise UsageError where no host of one side is a host of the other."""
    hosts = [
        dict.fromkeys(host for table in side.user_rules.rules.tables for host in table.hosts)
        for side in (before, after)
    ]
    if not set(hosts[0]) & set(hosts[1]) and not any(
        "*" in host for host in (*hosts[0], *hosts[1])
    ):
        names = (", ".join(list(side_hosts)[:3]) or "none" for side_hosts in hosts)
        raise UsageError(
            f"{before.name.text} and {after.name.text} have no host in common: "
            + ", and ".join(names)
        )


def _as_called(call: Call) -> Call:
    """Return a call as both sides may get it: Gateways may have other names there."""
    if call.gateway == MESH:
        return call
    name = call.host_header.partition(":")[0]
    authority = call.host_header
    return replace(call, gateway="", host=name, authority=authority, proxy=INGRESS, tls=None)


def _find_answer(side: Side, call: Call) -> Answer:
    """Return what a side does with a call."""
    explainer = side.user_rules.explainer
    if not call.gateway:
        gateways = explainer.list_gateways(call.host, call.port)
        if not gateways:
            return Answer(NOT_SERVED)
        call = replace(call, gateway=gateways[0].name)
    explanation = explainer.explain(call)
    if explanation is None:
        return Answer(NOT_SERVED)
    place = explanation.taken.route.at if explanation.taken else ""
    return Answer(
        "; ".join(
            (describe_answer(explanation), *list_changes(explanation), *_list_ends(explanation))
        ),
        _list_parts(explanation),
        side.name_places(str(place)),
        explanation.case,
    )


def _list_ends(explanation: Explanation) -> Iterator[str]:
    """Yield which destinations cannot answer."""
    for dead_end in explanation.case.dead_ends if explanation.case else ():
        yield f"{dead_end.destination} cannot answer"


def _list_parts(explanation: Explanation) -> tuple[object, ...]:
    """Return all of an answer that requests can show."""
    case = explanation.case
    if case is None:
        return ("outside",)
    answer = case.answer
    return (
        frozenset((share[0].host, share[0].labels, round(share[1], 9)) for share in case.shares),
        answer.proxy_reply,
        answer.proxy_reply_share,
        frozenset(answer.arrivals),
        answer.min_seconds,
        answer.delayed_share,
        frozenset((mirror.host, mirror.labels, share) for mirror, share in answer.mirrors),
        frozenset(str(dead_end.destination) for dead_end in case.dead_ends),
    )


def read_expected_changes(text: str) -> list[str]:
    """Return the requests that a file names, one in a line, as the output has them.

    `#` begins a comment; what follows two spaces (the answers) does not count.
    """
    lines = (line.partition("#")[0].strip().removeprefix("~ ") for line in text.splitlines())
    return [line.partition("  ")[0].strip() for line in lines if line]


def split_expected(
    changes: Sequence[Change], expected: Sequence[str]
) -> tuple[list[Change], list[str]]:
    """Return the changes that nothing expects, and the expected requests that do not change."""
    changed = {request.text for change in changes for request in change.requests}
    unexpected = [
        change
        for change in changes
        if not any(request.text in expected for request in change.requests)
    ]
    return unexpected, [text for text in expected if text not in changed]
