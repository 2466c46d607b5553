"""What changes between two sets of rules: the requests of both, answered by both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from meshproof.base.errors import BadRules, UsageError
from meshproof.base.names import MESH, format_labels
from meshproof.oracle import cors, derive
from meshproof.oracle.case import Case
from meshproof.oracle.conditions import Call, shorten
from meshproof.oracle.dead_ends import DeadEndKind
from meshproof.oracle.explanation import Explanation, list_servers
from meshproof.rules.model import INGRESS, Gateway
from meshproof.user_rules.asking import describe_answer, list_changes
from meshproof.user_rules.neighbours import list_neighbours
from meshproof.user_rules.not_proven import name_route
from meshproof.user_rules.orders import Order, list_orders, name_rule
from meshproof.user_rules.route_settings import CORS, Settings, describe_differing, list_settings
from meshproof.user_rules.sides import NotCompared, Side

_SERVING_KINDS = (*("GRPCRoute", "HTTPRoute", "Ingress", "RouteRule"), "VirtualService", "Gateway")
_OLD_POLICY = "DestinationPolicy"
#: What a side that a request does not reach at all answers.
NOT_SERVED = "not served"


@dataclass(frozen=True)
class Answer:
    """What a side does with a request: in words, and by parts that compare equal if it is the same.

    `place` is that of the route that takes it, "" for none, and `rule` names the rule that decides.
    `settings` are those of that route, None where no destination answers. `assumed` says in words
    which order of rules it assumes where another one gives another answer.
    """

    text: str
    parts: tuple[object, ...] = ()
    place: str = ""
    case: Case | None = None
    settings: Settings | None = field(default=None, hash=False)
    rule: str = ""
    assumed: str = ""

    def is_same(self, answer: Answer) -> bool:
        """Say whether no request tells one from the other."""
        if self.settings is None or answer.settings is None:
            return self.parts == answer.parts and self.settings == answer.settings
        return self.parts == answer.parts and not describe_differing(self.settings, answer.settings)

    def with_differing(self, answer: Answer) -> Answer:
        """Return the answer with its settings in words, as far as the other has different ones."""
        if self.settings is None or answer.settings is None:
            return self
        differing = describe_differing(self.settings, answer.settings)
        return replace(self, text="; ".join((self.text, *differing)))

    @property
    def location(self) -> str:
        """Where a redirect leads, "" for none."""
        reply = self.case.answer.proxy_reply if self.case else None
        return reply.location if reply else ""


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
    def texts(self) -> tuple[str, str]:
        """What both sides do with it, in words, with all that differs."""
        before, after = self.before, self.after
        assumed = f" {before.assumed}" if before.assumed else ""
        texts = f"{before.text}{assumed}", f"{after.text}{assumed}"
        if texts[0] == texts[1] and before.location != after.location:
            return f"{texts[0]} ({before.location})", f"{texts[1]} ({after.location})"
        return texts

    @property
    def is_changed(self) -> bool:
        """Whether the two sides answer differently."""
        return not self.before.is_same(self.after)

    def is_same(self, request: ComparedRequest) -> bool:
        """Say whether each side answers as it does in another comparison of the same request."""
        return self.before.is_same(request.before) and self.after.is_same(request.after)

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

    Cases that instruct a workload (to fail, or to be late) ask no other request than the plain
    one of their route, and what they show is in its settings.

    With `has_neighbours` those around them follow, which no case asks. Where nothing says which of
    several rules decides, a request is there for each order that gives other answers.
    Raises UsageError where the sides have no host in common, BadRules where no request follows.
    """
    _require_common_host(before, after)
    orders = list_orders(before, after)
    calls = dict.fromkeys(
        _as_called(case.call)
        for order in orders
        for side in (order.before, order.after)
        for case in side.user_rules.plan.cases
    )
    if not calls and not any(side.user_rules.excluded for side in (before, after)):
        coverage = (entry for side in (before, after) for entry in side.user_rules.plan.coverage)
        raise BadRules(derive.explain_empty(coverage))
    requests = [request for call in calls for request in _compare_in_orders(orders, call)]
    if has_neighbours:
        neighbours = (
            request
            for call in list_neighbours(calls)
            for request in _compare_in_orders(orders, call)
        )
        requests += [request for request in neighbours if not request.is_slow]
    return requests


def _compare_in_orders(orders: Sequence[Order], call: Call) -> list[ComparedRequest]:
    """Return a call with what both sides do with it, once for each order that changes that."""
    first, *others = (_compare(order.before, order.after, call) for order in orders)
    if all(request.is_same(first) for request in others):
        return [first]
    requests: list[ComparedRequest] = []
    for order, request in zip(orders, (first, *others), strict=True):
        if not any(request.is_same(earlier) for earlier in requests):
            words = order.describe((request.before.rule, request.after.rule))
            answers = (replace(answer, assumed=words) for answer in (request.before, request.after))
            requests.append(ComparedRequest(call, *answers))
    return requests


def _compare(before: Side, after: Side, call: Call) -> ComparedRequest:
    """Return a call with what both sides do with it."""
    answers = _find_answer(before, call), _find_answer(after, call)
    return ComparedRequest(
        call, answers[0].with_differing(answers[1]), answers[1].with_differing(answers[0])
    )


def group_changes(requests: Iterable[ComparedRequest]) -> list[Change]:
    """Return the differences: requests that change alike, between the same routes, are one."""
    groups: dict[tuple[str, ...], list[ComparedRequest]] = {}
    for request in requests:
        if request.is_changed:
            before, after = request.before, request.after
            key = before.text, before.assumed, before.place, after.text, after.place
            groups.setdefault(key, []).append(request)
    return [
        Change(min(group, key=lambda request: request.size), tuple(group))
        for group in groups.values()
    ]


def align_sides(before: Side, after: Side) -> tuple[Side, Side]:
    """Return both sides, without settings that only one of them can have.

    Traffic policies of an older dialect have other words, Gateways of Gateway API have proxies of
    their own, and a Service may be among the files of one side alone.
    """
    sides = before, after
    kinds = {entry.kind for side in sides for entry in side.user_rules.documents}
    gateways = [gateway for side in sides for gateway in side.user_rules.rules.gateways]
    services = [set(side.user_rules.known_hosts.world.services) for side in sides]
    before, after = (
        replace(
            side,
            compares_policies=_OLD_POLICY not in kinds,
            compares_proxies=not any(_is_of_gateway_api(gateway) for gateway in gateways),
            shared_hosts=frozenset(services[0] & services[1]),
        )
        for side in sides
    )
    return before, after


def _is_of_gateway_api(gateway: Gateway) -> bool:
    """Say whether a Gateway is a listener of Gateway API, namespace/name/listener."""
    return gateway.name.count("/") > 1


def list_not_compared(before: Side, after: Side) -> Iterator[NotCompared]:
    """Yield each object that is not checked, and each setting of one side that none compares."""
    for side in (before, after):
        for entry in side.user_rules.excluded:
            line = side.name_places(f"{side.name.text}: {entry}")
            yield NotCompared(line, is_allowed=not entry.exit_code)
        for note in side.user_rules.notes:
            if note.startswith("left out"):
                yield NotCompared(f"{side.name.text}: {note}", is_allowed=True)
    unheld = before.list_unheld(), after.list_unheld()
    for side, own, other in ((before, *unheld), (after, unheld[1], unheld[0])):
        for what, unheld_entry in own.items():
            if what not in other:
                line = f"{side.name.text}: {unheld_entry.line}"
                yield replace(unheld_entry, line=line)


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
    side_hosts = [
        dict.fromkeys(host for table in side.user_rules.rules.tables for host in table.hosts)
        for side in (before, after)
    ]
    is_unread = any(side.user_rules.excluded for side in (before, after))
    if (
        not set(side_hosts[0]) & set(side_hosts[1])
        and not is_unread
        and not any("*" in host for host in (*side_hosts[0], *side_hosts[1]))
    ):
        names = (", ".join(list(own_hosts)[:3]) or "none" for own_hosts in side_hosts)
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
    at_entrance: dict[str, str] = {}
    if not call.gateway:
        gateways = explainer.list_gateways(call.host, call.port)
        if not gateways:
            return _make_unserved(side)
        at_entrance = _list_gateway_settings(side, gateways[0], call)
        call = replace(call, gateway=gateways[0].name)
    explanation = explainer.explain(call)
    if explanation is None:
        return _make_unserved(side)
    if call.gateway == MESH:
        at_entrance = side.list_called_port(explanation.call.host, call.port)
    route = explanation.taken.route if explanation.taken else None
    return Answer(
        "; ".join(
            (
                describe_answer(explanation),
                *list_changes(explanation),
                *_list_reply_parts(explanation),
                *_list_ends(explanation),
                *(() if explanation.taken else _list_unread(side)),
            )
        ),
        _list_parts(explanation),
        side.name_places(str(route.at)) if route else "",
        explanation.case,
        _find_settings(side, explanation, at_entrance),
        name_rule(explanation.taken.table) if explanation.taken else "",
    )


def _list_gateway_settings(side: Side, gateway: Gateway, call: Call) -> dict[str, str]:
    """Return the TLS modes of the servers that may take a call at a Gateway, and its proxies."""
    servers = list_servers(gateway, call.host, call.port)
    modes = [str(server.tls) for server in servers if server.tls is not None]
    tls = {"TLS": f"TLS {', '.join(modes)}"} if modes else {}
    return {**tls, **side.list_gateway_settings(gateway)}


def _find_settings(side: Side, explanation: Explanation, at_entrance: Settings) -> Settings | None:
    """Return the settings of the route that takes a call, None where no destination answers.

    A preflight that the proxy answers has those of CORS alone.
    """
    if _is_answered_preflight(explanation) and explanation.taken:
        settings = list_settings(explanation.taken.route)
        return {**at_entrance, **{name: settings[name] for name in settings if name == CORS}}
    if explanation.case is None or not explanation.case.shares:
        return None
    if explanation.taken is None:
        return at_entrance
    route = explanation.taken.route
    return {**list_settings(route), **side.list_settings(route), **at_entrance}


def _is_answered_preflight(explanation: Explanation) -> bool:
    """Say whether a call is a preflight of browsers that the proxy answers by its CORS policy."""
    taken = explanation.taken
    return taken is not None and cors.answer_preflight(taken.route, explanation.call) is not None


def _make_unserved(side: Side) -> Answer:
    """Return the answer of a side where nothing serves a call, with what of it was not read."""
    unread = list(_list_unread(side))
    return Answer("; ".join(unread or [NOT_SERVED]))


def _list_unread(side: Side) -> Iterator[str]:
    """Yield the routes and Gateways of a side that are not checked: they may serve a call."""
    for entry in side.user_rules.excluded:
        if entry.name.partition(" ")[0] in _SERVING_KINDS:
            yield f"not known: {side.name_places(str(entry))}"


def _list_reply_parts(explanation: Explanation) -> Iterator[str]:
    """Yield what of a proxy's own reply its summary does not say."""
    reply = explanation.case.answer.proxy_reply if explanation.case else None
    if reply is None or _is_answered_preflight(explanation):
        return
    if reply.body:
        yield f"body {shorten(reply.body)!r}"
    for name, value in reply.response_headers:
        yield f"{name} is removed" if value is None else f"{name} comes back as '{shorten(value)}'"


def _list_ends(explanation: Explanation) -> Iterator[str]:
    """Yield which destinations cannot answer."""
    for dead_end in explanation.case.dead_ends if explanation.case else ():
        is_undefined = dead_end.kind is DeadEndKind.SUBSET_NAME
        yield f"{dead_end.destination} {'is not defined' if is_undefined else 'cannot answer'}"


def _list_parts(explanation: Explanation) -> tuple[object, ...]:
    """Return all of an answer that requests can show."""
    case = explanation.case
    if case is None:
        return ("outside",)
    answer = case.answer
    reply = answer.proxy_reply
    if reply and _is_answered_preflight(explanation):
        reply = replace(reply, response_headers=())  # they are compared as a setting
    return (
        frozenset(
            (destination.host, destination.labels, round(share, 9), arrival)
            for (destination, share), arrival in zip(case.shares, answer.arrivals, strict=False)
            if share
        ),
        reply,
        answer.proxy_reply_share,
        answer.refuses_tls,
        answer.min_seconds,
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
