"""Explains one request: which routes a proxy asks, in which order, and why each takes it or not.

Part of the oracle: nothing here is shared with `mesh/`. The order is that of `precedence`; which
hosts of a gateway are asked is Envoy's (virtual host: the exact name, then the longest wildcard).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, cmp_to_key
from typing import TypeVar

from meshproof.base.names import CLUSTER_DOMAIN, MESH, is_service
from meshproof.documents.manifest import At
from meshproof.inventory.known_hosts import KnownHosts
from meshproof.oracle import derive, hosts, precedence
from meshproof.oracle.case import Case, Coverage, Plan, is_hidden_from_caller
from meshproof.oracle.conditions import Call, Condition, list_conditions
from meshproof.oracle.dead_ends import mark_dead_ends
from meshproof.oracle.entrances import Entrances, find_listener
from meshproof.rules.model import Gateway, Match, Proxy, Route, RouteTable, RuleSet, Server

T = TypeVar("T")


@dataclass(frozen=True)
class Attempt:
    """One match of a route, held against a request.

    `missed` is the first condition that does not hold, None where all do. With `is_asked` False an
    earlier match has taken the request. A `match` of None takes every request.
    """

    match: Match | None
    missed: Condition | None
    is_asked: bool = True

    @property
    def is_taken(self) -> bool:
        """Whether the request goes this way."""
        return self.is_asked and self.missed is None


@dataclass(frozen=True)
class AskedRoute:
    """A route of a table, with the matches that stand here in the order of the proxy."""

    table: RouteTable
    index: int
    attempts: tuple[Attempt, ...]

    @property
    def route(self) -> Route:
        """The route itself."""
        return self.table.routes[self.index]

    @property
    def taken(self) -> Attempt | None:
        """The match that takes the request, None if none of these does."""
        return next((attempt for attempt in self.attempts if attempt.is_taken), None)

    @property
    def is_asked(self) -> bool:
        """Whether the proxy comes as far as this route."""
        return self.attempts[0].is_asked


@dataclass(frozen=True)
class Explanation:
    """What becomes of a request.

    `entrance` is the Gateway that it comes in at, None for a sidecar. `routes` are asked in this
    order. `notes` say in words which tables have no part in it and what is not specified. `case` is
    the expected answer; None where the request goes to its host as if there were no rule.
    """

    call: Call
    entrance: Gateway | None
    routes: tuple[AskedRoute, ...]
    notes: tuple[str, ...] = ()
    case: Case | None = None

    @property
    def taken(self) -> AskedRoute | None:
        """The route that takes the request, None for no route."""
        return next((asked for asked in self.routes if asked.taken), None)


@dataclass(frozen=True)
class _Entry:
    """One match of a table at an entrance; `namespace` is that of the gateway's proxy."""

    table: RouteTable
    gateway: Gateway | None
    number: int
    index: int
    match: Match | None
    namespace: str = ""


class Explainer:
    """Explains requests to one set of rules."""

    def __init__(self, rules: RuleSet, known_hosts: KnownHosts) -> None:
        self._rules = rules
        self._known_hosts = known_hosts
        self._gateways = {gateway.name: gateway for gateway in rules.gateways}
        self._entrances = Entrances(rules, {})

    def explain(self, call: Call) -> Explanation | None:
        """Return what becomes of a call, whose `gateway` is the name of a Gateway or MESH.

        The name that is called is its Host header. Returns None where the call comes in nowhere:
        the gateway serves neither that port nor that host, or in the mesh no rule and no Service
        has it.
        """
        name = call.host_header.partition(":")[0]
        if call.gateway == MESH:
            return self._explain_in_mesh(call, name)
        return self._explain_at_gateway(call, name)

    def list_gateways(self, host: str, port: int) -> list[Gateway]:
        """Return the Gateways that serve a host at a port, of each proxy the first."""
        serving: dict[Proxy, Gateway] = {}
        for gateway in self._rules.gateways:
            if _serves(gateway, host, port):
                call = Call(host, authority=host, gateway=gateway.name, port=port)
                entered = self._entrances.enter(call)
                serving.setdefault(entered.proxy, self._gateways[entered.gateway])
        return list(serving.values())

    def find_mesh_host(self, name: str, namespace: str) -> str:
        """Return the full host that a name means to a caller of a namespace, "" for none.

        A name that a rule has as it is comes first, then the short names of services, last a
        wildcard.
        """
        full = name if name.endswith(f".{CLUSTER_DOMAIN}") else ""
        parts = name.removesuffix(".svc").split(".")
        if not full and len(parts) <= 2:
            full = f"{parts[0]}.{parts[1] if len(parts) == 2 else namespace}.{CLUSTER_DOMAIN}"
        for candidate in (name, full):
            if candidate and candidate in self._mesh_hosts:
                return candidate
        for candidate in filter(None, (full, name)):
            if any(hosts.covers(wildcard, candidate) for wildcard in self._wildcards):
                return candidate
        return ""

    @cached_property
    def _rule_hosts(self) -> list[str]:
        """The hosts of rules for sidecars."""
        return [
            host for table in self._rules.tables if table.applies_to_mesh for host in table.hosts
        ]

    @cached_property
    def _mesh_hosts(self) -> set[str]:
        """The hosts that a sidecar knows by name."""
        known_hosts = self._known_hosts
        return {*self._rule_hosts, *known_hosts.ports, *known_hosts.world.services}

    @cached_property
    def _wildcards(self) -> list[str]:
        """The hosts of rules for sidecars that cover others."""
        return [host for host in self._rule_hosts if "*" in host]

    def _explain_in_mesh(self, call: Call, name: str) -> Explanation | None:
        """Return what a sidecar does with a call."""
        host = self.find_mesh_host(name, call.namespace)
        if not host:
            return None
        call = replace(call, host=host)
        tables = _pick_nearest(
            (table, table_host)
            for table in self._rules.tables
            if table.applies_to_mesh and table.applies_to_port(call.port)
            for table_host in table.hosts
            if hosts.covers(table_host, host)
        )
        notes = []
        candidates = []
        for table in tables:
            if reason := _explain_no_part(table, call):
                notes.append(f"{_name(table)} has no part in it: {reason}")
            else:
                candidates.append(table)
        owner, order_note, is_known = _find_owner(candidates, call)
        if owner is None:
            return Explanation(call, None, (), tuple(notes), self._expect(call, None))
        entries = _list_entries(owner, None)
        routes = tuple(_hold_against(entries, call))
        notes += [order_note] if order_note else []
        case = self._expect(call, owner, is_open=not is_known)
        return Explanation(call, None, routes, tuple(notes), case)

    def _explain_at_gateway(self, call: Call, name: str) -> Explanation | None:
        """Return what the proxy of a Gateway does with a call."""
        entrance = self._gateways.get(call.gateway)
        if entrance is None or not _serves(entrance, name, call.port):
            return None
        call = self._entrances.enter(call)
        entrance = self._gateways[call.gateway]
        if refusal := self._entrances.explain_refusal(call):
            case = derive.derive_refused_case(self._rules, _make_table(call, entrance), call)
            return Explanation(call, entrance, (), (refusal,), case)
        # Gateways of one proxy share its ports: the virtual hosts of all of them are there.
        pairs = [
            (table, gateway, virtual_host)
            for gateway, server in self._entrances.list_servers(call)
            for table in self._rules.tables
            if gateway.name in (table.gateways or ())
            and table.is_visible_from(call.proxy.namespace)
            for virtual_host in _list_virtual_hosts(table, server)
            if hosts.covers(virtual_host, name)
        ]
        if _is_redirected(self._entrances, call, name, [host for _, _, host in pairs]):
            return _explain_redirect(call, entrance, self._rules)
        nearest = _pick_nearest(((table, gateway), host) for table, gateway, host in pairs)
        entries = [
            entry
            for table, gateway in nearest
            for entry in _list_entries(table, gateway, call.proxy.namespace)
        ]
        routes = tuple(_hold_against(sorted(entries, key=cmp_to_key(_compare)), call))
        notes = tuple(dict.fromkeys(_list_unordered(entries, call)))
        taken = next((asked for asked in routes if asked.taken), None)
        unrouted = nearest[0][0] if nearest else _make_table(call, entrance)
        owner = taken.table if taken else unrouted
        expected = self._expect(call, owner, is_open=bool(notes))
        return Explanation(call, entrance, routes, notes, expected)

    def _expect(
        self, call: Call, table: RouteTable | None, *, is_open: bool = False
    ) -> Case | None:
        """Return the case of a call that a table decides; without one, of one to a known host.

        `is_open` says that another table may decide it as well.
        """
        if table is None:
            if call.gateway != MESH or not is_service(call.host):
                return None
            table = RouteTable((call.host,), (), None, At("", 1))
        case = derive.derive_single_case(self._rules, table, call)
        if is_open:
            case = replace(case, answer=replace(case.answer, is_open=True))
        plan = Plan((case,), (Coverage(table, (), ()),))
        return mark_dead_ends(plan, self._known_hosts, self._rules).cases[0]


def _serves(gateway: Gateway, host: str, port: int) -> bool:
    """Say whether a Gateway has a server for a host at a port."""
    return any(list_servers(gateway, host, port))


def list_servers(gateway: Gateway, host: str, port: int) -> Iterator[Server]:
    """Yield the servers of a Gateway that have a host at a port."""
    for server in gateway.servers:
        if server.port == port and any(hosts.covers(name, host) for name in server.hosts):
            yield server


def _explain_no_part(table: RouteTable, call: Call) -> str:
    """Return why a table does not decide calls of this caller, "" if it may."""
    if not table.is_visible_from(call.namespace):
        return f"it is not exported to namespace {call.namespace}"
    if is_hidden_from_caller(table, call):
        return "each of its matches is for other callers"
    return ""


def _find_owner(tables: Sequence[RouteTable], call: Call) -> tuple[RouteTable | None, str, bool]:
    """Return the table that has a host of the mesh alone, a note on others, and if it is known."""
    for table in tables:
        rivals = [rival for rival in tables if rival is not table]
        orders = [precedence.owns_mesh_host(table, rival, call) for rival in rivals]
        if all(orders):
            losers = "".join(f"; {_name(rival)} is not asked" for rival in rivals)
            return table, f"{_name(table)} has {call.host} alone{losers}" if rivals else "", True
    if not tables:
        return None, "", True
    names = " and ".join(map(_name, tables))
    note = (
        f"which of {names} has {call.host} alone is not specified: the older one, and no "
        "creationTimestamp tells it"
    )
    return tables[0], note, False


def _is_redirected(
    entrances: Entrances, call: Call, name: str, virtual_hosts: Iterable[str]
) -> bool:
    """Say whether the nearest host for a name at a listener is one that redirects to https."""
    redirected = entrances.redirected_hosts.get(find_listener(call), set())
    covering = [(host, host) for host in (*virtual_hosts, *redirected) if hosts.covers(host, name)]
    return bool(set(_pick_nearest(covering)) & redirected)


def _explain_redirect(call: Call, entrance: Gateway, rules: RuleSet) -> Explanation:
    """Return what becomes of a plain call that its gateway redirects to https."""
    case = derive.derive_redirected_case(rules, _make_table(call, entrance), call)
    note = f"{entrance.name} redirects every plain request for this host to https"
    return Explanation(call, entrance, (), (note,), case)


def _make_table(call: Call, entrance: Gateway) -> RouteTable:
    """Return a table without routes for what a gateway answers itself."""
    return RouteTable((call.host,), (), (entrance.name,), entrance.at)


def _list_virtual_hosts(table: RouteTable, server: Server) -> Iterator[str]:
    """Yield the hosts that a table has at a server of a gateway."""
    for table_host in table.hosts:
        for server_host in server.hosts_for(table.namespace):
            if host := hosts.intersect(table_host, server_host):
                yield host


def _pick_nearest(named: Iterable[tuple[T, str]]) -> list[T]:
    """Return what has the nearest of some hosts that cover one name: no wildcard, the longest."""
    pairs = list(named)
    if not pairs:
        return []
    nearest = max((host for _, host in pairs), key=lambda host: ("*" not in host, len(host)))
    return list({id(item): item for item, host in pairs if host == nearest}.values())


def _list_entries(table: RouteTable, gateway: Gateway | None, namespace: str = "") -> list[_Entry]:
    """Return the matches of a table in their order, up to the first that takes every request.

    `namespace` is that of the gateway's proxy.
    """
    entries: list[_Entry] = []
    for index, route in enumerate(table.routes):
        for match in route.matches or (None,):
            entries.append(_Entry(table, gateway, len(entries), index, match, namespace))
            is_istio = gateway is not None and not table.is_gateway_api
            if is_istio and precedence.is_catch_all(match):
                return entries
    return entries


def _compare(first: _Entry, second: _Entry) -> int:
    """Return below 0 if the first comes before the second at a gateway."""
    if first.table is second.table or first.gateway is None or second.gateway is None:
        return first.number - second.number
    order = _order_at_gateway(first, second)
    return 0 if order is None else (-1 if order else 1)


def _order_at_gateway(first: _Entry, second: _Entry) -> bool | None:
    """Say whether a match of one table comes before that of another; None if nothing says."""
    takers = [
        precedence.Taker(entry.table, entry.match, entry.gateway, entry.namespace)
        for entry in (first, second)
        if entry.gateway is not None
    ]
    return precedence.comes_first_at_gateway(*takers)


def _list_unordered(entries: Sequence[_Entry], call: Call) -> Iterator[str]:
    """Yield a note for each two tables that both take a call in an order that nothing says."""
    taking = [entry for entry in entries if _find_missed(entry.match, call) is None]
    for number, first in enumerate(taking):
        for second in taking[number + 1 :]:
            if first.table is not second.table and _order_at_gateway(first, second) is None:
                yield (
                    f"{_name(first.table)} and {_name(second.table)} both take it; which comes "
                    "first is not specified: the older one, and no creationTimestamp tells it"
                )


def _hold_against(entries: Iterable[_Entry], call: Call) -> Iterator[AskedRoute]:
    """Yield the routes of entries, each held against the call until one takes it."""
    group: list[_Entry] = []
    attempts: list[Attempt] = []
    is_open = True
    for entry in entries:
        if group and (group[-1].table is not entry.table or group[-1].index != entry.index):
            yield AskedRoute(group[-1].table, group[-1].index, tuple(attempts))
            group, attempts = [], []
        attempt = Attempt(entry.match, _find_missed(entry.match, call), is_open)
        is_open = is_open and not attempt.is_taken
        group.append(entry)
        attempts.append(attempt)
    if group:
        yield AskedRoute(group[-1].table, group[-1].index, tuple(attempts))


def _find_missed(match: Match | None, call: Call) -> Condition | None:
    """Return the first condition of a match that does not hold for a call."""
    conditions = list_conditions(match) if match is not None else []
    return next((condition for condition in conditions if not condition.holds(call)), None)


def _name(table: RouteTable) -> str:
    """Return the name of a rule with its place."""
    return f"{table.namespace}/{table.name} ({table.at})"
