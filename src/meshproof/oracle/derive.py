"""The oracle: from the rules alone, who must answer which request.

It derives a request that reaches each route, and near misses for each condition of each match.
Where two routes overlap it adds a request that both match. It also adds a request that no route
takes. Each weight becomes an expected share. Nothing here is shared with `mesh/envoy` beyond the
model: real traffic compares two independent readings of the rules.
"""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from meshproof.base.errors import BadRules
from meshproof.base.names import MESH, is_service
from meshproof.documents.manifest import At
from meshproof.oracle import (
    actions,
    cors,
    hosts,
    overlaps,
    pod_keys,
    precedence,
    sidecars,
    subsets,
    timeouts_and_retries,
)
from meshproof.oracle.actions import Destination, ExpectedAnswer, ProxyReply, Shares
from meshproof.oracle.case import (
    Case,
    Coverage,
    Plan,
    describe_answer,
    describe_header_changes,
    drop_repeats,
    is_hidden_from_caller,
    mark_repeated_splits,
)
from meshproof.oracle.conditions import (
    Call,
    Condition,
    encode_path,
    explain_claim,
    explain_unsendable_path,
    is_sendable_path,
    list_conditions,
    list_host_names,
    list_unproven,
    shorten,
)
from meshproof.oracle.entrances import (
    CALLER_NAMESPACE,
    Entrances,
    Listener,
    find_listener,
)
from meshproof.oracle.match_finder import MatchFinder, match_holds
from meshproof.rules.model import Match, Route, RouteTable, RuleSet

__all__ = ["Call", "Case", "Coverage", "Destination", "Plan", "derive", "find_route", "match_holds"]

#: At most this many calls are tried to get past the routes before a call's own.
_MAX_TRIES = 300
#: At most this many calls that satisfy one match are tried first.
_MAX_STARTS = 60
#: At most this many values are tried for each condition of a match.
_MAX_VALUES = 8


def derive(
    rules: RuleSet,
    ports: Mapping[str, Sequence[int]] | None = None,
    lone_namespaces: Collection[str] = (),
    absent_hosts: Collection[str] = (),
    *,
    may_be_empty: bool = False,
) -> Plan:
    """Return the cases of all routes. `ports` are the ports of services by full host (else 80).

    In `lone_namespaces` nobody calls the services of the namespace but, maybe, themselves. Of
    `absent_hosts` it is known that they are no services.
    Raises BadRules for a gateway that does not exist, and when no case follows from the rules,
    unless the plan `may_be_empty`.
    """
    ways_in = Entrances(rules, ports or {}, lone_namespaces, absent_hosts)
    entrances = [list(dict.fromkeys(ways_in.find(table))) for table in rules.tables]
    with_entrances = list(zip(rules.tables, entrances, strict=True))
    cases: list[Case] = []
    coverage: list[Coverage] = []
    for table_index, (table, table_entrances) in enumerate(with_entrances):
        rivals = [pair for pair in with_entrances if pair[0] is not table]
        deriver = _TableDeriver(table, table_entrances, rivals, rules, ways_in)
        table_cases, table_coverage = deriver.derive()
        if table_cases:
            table_cases += _derive_unnamed_host_cases(
                deriver, table_entrances, entrances, ways_in.redirected_hosts
            )
        table_cases += map(deriver.make_redirected_case, ways_in.find_redirected(table))
        cases += (replace(case, table_index=table_index) for case in table_cases)
        coverage.append(table_coverage)
    if not cases and not may_be_empty:
        raise BadRules(explain_empty(coverage))
    return Plan(tuple(mark_repeated_splits(drop_repeats(cases))), tuple(coverage))


def explain_empty(coverage: Iterable[Coverage]) -> str:
    """Return in words why no case follows from rules."""
    reasons = [f"\n{route.at}: {reason}" for route, reason in _list_unreached(coverage)]
    ending = ":" if reasons else ", there is no route in them"
    return f"no request follows from the rules{ending}{''.join(reasons)}"


def _list_unreached(coverage: Iterable[Coverage]) -> Iterator[tuple[Route, str]]:
    """Yield each route that no case reaches, with the reason."""
    for table_coverage in coverage:
        for index, reason in table_coverage.unreached:
            yield table_coverage.table.routes[index], reason


def _derive_unnamed_host_cases(
    deriver: _TableDeriver,
    entrances: Iterable[Call],
    all_entrances: Iterable[Iterable[Call]],
    redirected_hosts: Mapping[Listener, Collection[str]],
) -> Iterator[Case]:
    """Yield a case for each host near one of the table's that no rule names at its gateway.

    Gateways may share a proxy: a host counts as named if any gateway with that port has it.
    """
    named_hosts: dict[Listener, set[str]] = defaultdict(set)
    for listener, redirected in redirected_hosts.items():
        named_hosts[listener] |= {*redirected}
    for call in itertools.chain(*all_entrances):
        if call.gateway != MESH:
            named_hosts[find_listener(call)].add(call.host)
    for entrance in entrances:
        if entrance.gateway == MESH:
            continue
        for name in hosts.generate_unnamed(entrance.host, named_hosts[find_listener(entrance)]):
            call = replace(entrance, authority=name)
            yield deriver.make_unrouted_case(call, f"host {shorten(name)} (no rule names it)")
        for name, reason in deriver.list_foreign_names(entrance, named_hosts):
            call = replace(entrance, authority=name)
            yield deriver.make_unrouted_case(call, f"host {shorten(name)} ({reason})")


def _move_to_port(call: Call, other: Call) -> Call:
    """Return a call, by the same name, to the port of another entrance.

    In the mesh a name without a port is that of port 80.
    """
    authority = call.authority
    if authority and call.gateway == MESH:
        suffix = "" if other.port == 80 else f":{other.port}"
        authority = f"{authority.partition(':')[0]}{suffix}"
    return replace(call, port=other.port, authority=authority, tls=other.tls, proxy=other.proxy)


def derive_single_case(rules: RuleSet, table: RouteTable, call: Call) -> Case:
    """Return the case of one call that a table of the rules decides, whatever others say."""
    description = _describe_call(call, Call(call.host), 0)
    ways_in = Entrances(rules, {})
    return _TableDeriver(table, [], [], rules, ways_in).make_case(call, description, table.at)


def derive_redirected_case(rules: RuleSet, table: RouteTable, call: Call) -> Case:
    """Return the case of a plain call that its gateway redirects to https."""
    deriver = _TableDeriver(table, [], [], rules, Entrances(rules, {}))
    return deriver.make_redirected_case(call)


def derive_refused_case(rules: RuleSet, table: RouteTable, call: Call) -> Case:
    """Return the case of a call that its gateway refuses TLS."""
    deriver = _TableDeriver(table, [], [], rules, Entrances(rules, {}))
    return deriver.make_unrouted_case(call, _describe_call(call, Call(call.host), 0), _NO_TLS)


def find_route(table: RouteTable, call: Call) -> int | None:
    """Return the index of the first route that takes the call, None when none does."""
    return MatchFinder(table).find(call)[0]


#: What a client gets that a gateway refuses before it sends a request.
_NO_TLS = ExpectedAnswer(ProxyReply(0, "no TLS"), 1.0, refuses_tls=True)
_EntranceKey = tuple[Listener | None, str, int]


def _make_entrance_key(entrance: Call) -> _EntranceKey:
    """Return what two tables share when they serve the same entrance: listener, host and port."""
    listener = None if entrance.gateway == MESH else find_listener(entrance)
    return listener, entrance.host, entrance.port


class _TableDeriver:
    """Derives the cases of one route table.

    `entrances` are the plainest calls that come to the table. `rivals` are the other tables with
    their entrances. Where two tables share an entrance, `precedence` says whose routes come first.
    Where nothing says it, no case follows from a call that both take.
    """

    def __init__(
        self,
        table: RouteTable,
        entrances: list[Call],
        rivals: list[tuple[RouteTable, list[Call]]],
        rules: RuleSet,
        ways_in: Entrances,
    ) -> None:
        self._table = table
        self._ways_in = ways_in
        self._entrances = entrances
        self._rules = rules
        self._gateways = {gateway.name: gateway for gateway in rules.gateways}
        rivals_by_key: dict[_EntranceKey, dict[str, tuple[RouteTable, str]]] = {}
        for rival, calls in rivals:
            for call in calls:
                key = _make_entrance_key(call)
                rivals_by_key.setdefault(key, {})[f"{id(rival)} {call.gateway}"] = (
                    rival,
                    call.gateway,
                )
        #: At each entrance, the other tables that are there, and through which gateway; the table
        #: itself is one of them if it is there through another gateway.
        self._rivals = {
            entrance: [
                *rivals_by_key.get(_make_entrance_key(entrance), {}).values(),
                *self._list_own_gateways(entrance),
            ]
            for entrance in entrances
        }
        self._finder = MatchFinder(table)
        #: Index of a route and gateway for which there is a case of its pods.
        self._pods_shown: set[tuple[int, str]] = set()
        #: Index and namespace of callers -> the route as they have it.
        self._own_routes: dict[tuple[int, str], Route] = {}
        #: Namespace of callers -> the shares that the routes can give to them.
        self._outcome_shares: dict[str, tuple[Shares, ...]] = {}
        self._rival_finders = {
            id(rival): MatchFinder(rival)
            for entrance_rivals in self._rivals.values()
            for rival, _ in entrance_rivals
        }
        rival_entrances = list(itertools.chain(*(calls for _, calls in rivals)))
        self._narrower_hosts = {
            entrance: [
                rival.host
                for rival in rival_entrances
                if MESH not in (rival.gateway, entrance.gateway)
                and find_listener(rival) == find_listener(entrance)
                and rival.host != entrance.host
                and hosts.covers(entrance.host, rival.host)
            ]
            for entrance in entrances
        }

    def _list_own_gateways(self, entrance: Call) -> Iterator[tuple[RouteTable, str]]:
        """Yield the table with each other gateway of an entrance's proxy, host and port."""
        for call in self._entrances:
            is_shared = _make_entrance_key(call) == _make_entrance_key(entrance)
            if is_shared and call.gateway != entrance.gateway:
                yield self._table, call.gateway

    def derive(self) -> tuple[list[Case], Coverage]:
        """Return the cases, and which routes they reach."""
        cases: list[Case] = []
        unreached: list[tuple[int, str]] = []
        for index, route in enumerate(self._table.routes):
            cases_by_match = [
                self._derive_match_cases(index, route, match) for match in route.matches or (None,)
            ]
            cases += itertools.chain(*cases_by_match)
            if not any(cases_by_match):
                unreached.append((index, self._explain_unreached(index, route)))
        cases += self._derive_encoded_path_cases()
        cases += self._derive_host_cases()
        cases += self._derive_tls_cases()
        cases += self._derive_no_route_case(cases)
        cases += self._derive_export_case()
        overlap_cases, unchecked_pairs = self._derive_overlap_cases(cases)
        cases += overlap_cases
        reached = {case.route_index for case in cases if case.route_index is not None}
        return cases, Coverage(
            self._table,
            tuple(sorted(reached)),
            tuple((index, reason) for index, reason in unreached if index not in reached),
            unchecked_pairs,
            tuple(self._list_unordered()),
        )

    def _list_unordered(self) -> Iterator[RouteTable]:
        """Yield each rival that takes a request of a route, too, in an order that nothing says."""
        matches = [match for route in self._table.routes for match in route.matches or (None,)]
        for entrance, entrance_rivals in self._rivals.items():
            for rival, gateway in entrance_rivals:
                if rival is not self._table and any(
                    self._is_unordered(rival, gateway, call)
                    for match in matches
                    for call in itertools.islice(_generate_calls(entrance, match), 1)
                ):
                    yield rival

    def _is_unordered(self, rival: RouteTable, gateway: str, call: Call) -> bool:
        """Say whether nothing tells which of the table and a rival takes a call of both."""
        if not self._is_visible(call):
            return False
        if call.gateway == MESH:
            return precedence.owns_mesh_host(self._table, rival, call) is None
        own_index, own_match = self._finder.find(call)
        index, match = self._rival_finders[id(rival)].find(replace(call, gateway=gateway))
        if own_index is None or index is None:
            return False
        takers = (
            precedence.Taker(
                self._table, own_match, self._gateways[call.gateway], call.proxy.namespace
            ),
            precedence.Taker(rival, match, self._gateways[gateway], call.proxy.namespace),
        )
        return precedence.comes_first_at_gateway(*takers) is None

    def _find_route(self, index: int, call: Call) -> Route:
        """Return a route as the caller of a call has it: with the labels of its own subsets."""
        key = index, subsets.find_caller_namespace(call)
        if key not in self._own_routes:
            route = subsets.resolve_route(self._rules, self._table.routes[index], key[1])
            self._own_routes[key] = route
        return self._own_routes[key]

    def _list_outcome_shares(self, call: Call) -> tuple[Shares, ...]:
        """Return the different shares that the routes, or no route, can give to a caller."""
        if not self._table.routes:
            return ()
        caller = subsets.find_caller_namespace(call)
        if caller not in self._outcome_shares:
            self._outcome_shares[caller] = self._compute_outcome_shares(call)
        return self._outcome_shares[caller]

    def _compute_outcome_shares(self, call: Call) -> tuple[Shares, ...]:
        """Return the same, computed."""
        routes = (self._find_route(index, call) for index in range(len(self._table.routes)))
        outcomes = [
            actions.compute_shares(route, 1 - actions.compute_abort_share(route))
            for route in routes
        ]
        if self._table.gateways is None and all(route.matches for route in self._table.routes):
            outcomes += [((Destination(host, (), ""), 1.0),) for host in self._table.hosts]
        return tuple(dict.fromkeys(filter(None, outcomes)))

    def _derive_match_cases(self, index: int, route: Route, match: Match | None) -> list[Case]:
        """Return the cases of one match: one at each entrance, more of them at the first."""
        cases: list[Case] = []
        for entrance in self._entrances:
            call = self._find_call(entrance, index, match)
            if call is None:
                continue
            is_first = not cases
            description, demands = self._describe_match(entrance, call, index, match)
            at = route.at if match is None else match.at
            cases.append(self.make_case(call, description, at, demands))
            if is_first:
                own_route = self._find_route(index, call)
                _, deciding = self._finder.find(call)  # an earlier match of the route may hold, too
                cases += self._derive_action_cases(own_route, deciding, call, description)
            if is_first and match is not None:
                cases += self._derive_condition_cases(entrance, call, match)
            cases += self._derive_pod_case(index, entrance, call, description)
        return cases

    def _derive_pod_case(
        self, index: int, entrance: Call, call: Call, description: str
    ) -> Iterator[Case]:
        """Yield the case of a key that keeps requests of a route on one pod, once at a gateway."""
        route = self._find_route(index, call)
        if not route.split or (index, call.gateway) in self._pods_shown:
            return
        caller = subsets.find_caller_namespace(call)
        pod_hash = pod_keys.find_hash(self._rules, route.split[0], caller)
        _, match = self._finder.find(call)
        answer = actions.expect_answer(route, match, call)
        if pod_hash is None or pod_keys.explain_unproven(pod_hash, route, answer):
            return

        def is_taken(changed: Call) -> bool:
            is_contested = self._is_contested(entrance, changed)
            return self._finder.find(changed)[0] == index and not is_contested

        shown = replace(call, shows_pods=True)
        if calls := pod_keys.find_key(pod_hash, shown, is_taken):
            self._pods_shown.add((index, call.gateway))
            pod_key = pod_keys.PodKey(pod_hash, calls.others)
            remark = " (one value of it on one pod, others not all there)"
            case = self.make_case(calls.same, f"{description}, kept by {pod_key}", route.at, remark)
            yield replace(case, pod_key=pod_key)

    def _derive_encoded_path_cases(self) -> Iterator[Case]:
        """Yield a case for each path that a browser encodes: what is asked for in its place."""
        for match in (match for route in self._table.routes for match in route.matches):
            if match.uri is None or not explain_unsendable_path(match):
                continue
            path = encode_path(match.uri.value)
            is_asked = is_sendable_path(path) and not set("?#") & set(match.uri.value)
            for entrance in self._entrances[:1] if is_asked else ():
                call = replace(entrance, path=path)
                if not self._is_contested(entrance, call):
                    description = f"path {shorten(path)} (as a browser sends it)"
                    yield self.make_case(call, description, match.uri.at)

    def _derive_host_cases(self) -> Iterator[Case]:
        """Yield cases of each entrance by the other names of its host, with and without a port."""
        for entrance in self._entrances:
            call = self._find_reaching_call(entrance)
            if call is None:
                continue
            # A condition may have moved the caller to another namespace, with other short names.
            names = list(list_host_names(replace(entrance, namespace=call.namespace)))
            with_port = [name for name in names if ":" in name and name != entrance.host_header]
            without_port = [name for name in names if ":" not in name][1:]
            for name in (*without_port[:1], *with_port[:1]):
                changed = replace(call, authority=name)
                index, match = self._finder.find(changed)
                if not self._is_contested(entrance, changed):
                    answer = None
                    if index is not None:
                        route = self._find_route(index, changed)
                        answer = _expect_answer(route, match, changed)
                        answer = replace(answer, ignores_shares=True)
                    description = f"host {shorten(name)}{self._describe_entrance(entrance)}"
                    yield self.make_case(changed, description, self._table.at, answer=answer)

    def _derive_tls_cases(self) -> Iterator[Case]:
        """Yield cases of clients that a server must refuse, or need not know, before any rule.

        That is one without a certificate, and one that asks for a name of no server.
        """
        servers: set[str] = set()
        for entrance in self._entrances:
            call = self._find_reaching_call(entrance)
            if entrance.tls is None or call is None or entrance.tls.server in servers:
                continue
            servers.add(entrance.tls.server)
            if entrance.tls.shows_certificate:
                plain = replace(call, tls=replace(entrance.tls, shows_certificate=False))
                description = "without a client certificate"
                if entrance.tls.mode == "MUTUAL":
                    yield self.make_unrouted_case(plain, description, _NO_TLS)
                else:
                    yield self.make_case(plain, description, self._table.at)
            if name := self._ways_in.find_unserved_name(entrance):
                asking = replace(call, tls=replace(entrance.tls, name=name))
                description = f"TLS for {shorten(name)} (no server has it)"
                yield self.make_unrouted_case(asking, description, _NO_TLS)

    def _find_reaching_call(self, entrance: Call) -> Call | None:
        """Return a call at an entrance that is not refused, None if none is found.

        The plainest call is best, else the last routes demand least.
        """
        if self._table.gateways is None or self._finder.find(entrance)[0] is not None:
            return entrance
        for index, route in reversed(list(enumerate(self._table.routes))):
            for match in route.matches or (None,):
                if call := self._find_call(entrance, index, match):
                    return call
        return None

    def _describe_match(
        self, entrance: Call, call: Call, index: int, match: Match | None
    ) -> tuple[str, str]:
        """Return in words what makes a route take the call, and what its match demands."""
        conditions = list_conditions(match) if match else []
        properties = " and ".join(
            filter(None, (condition.describe(call) for condition in conditions))
        )
        demands = " and ".join(condition.text for condition in conditions)
        description = properties or _describe_call(call, entrance, index)
        return description + self._describe_entrance(entrance), f" ({demands})" if demands else ""

    def _derive_action_cases(
        self, route: Route, match: Match | None, call: Call, description: str
    ) -> Iterator[Case]:
        """Yield the further cases that prove a route's actions, for a call that reaches it."""
        # What the proxy answers itself shows no timeout, retry, rewrite or copy.
        variants = itertools.chain(
            (
                variant
                for source in (timeouts_and_retries, actions)
                for variant in source.derive_variants(route, match, call)
                if variant.answer.delayed_share or not cors.answer_preflight(route, variant.call)
            ),
            cors.derive_variants(route, match, call),
        )
        for variant in variants:
            if self._finder.find(variant.call) == self._finder.find(call):
                yield self.make_case(
                    variant.call,
                    f"{description}, {variant.description}",
                    route.at,
                    answer=variant.answer,
                )

    def _derive_condition_cases(self, entrance: Call, call: Call, match: Match) -> Iterator[Case]:
        """Yield a case for each similar call of each condition of a match."""
        for condition in list_conditions(match):
            for similar in condition.similar_calls(call):
                if not self._is_contested(entrance, similar.call):
                    yield self.make_case(similar.call, similar.description, condition.at)
        for other in self._entrances if match.port else ():
            other_port = _move_to_port(call, other)
            is_near = (other.host, other.gateway) == (entrance.host, entrance.gateway)
            if is_near and other.port != call.port and not self._is_contested(other, other_port):
                description = f"path {shorten(call.path)} on port {other.port}, another one"
                yield self.make_case(other_port, description, match.at)

    def _derive_overlap_cases(self, cases: list[Case]) -> tuple[list[Case], int]:
        """Return cases of requests that a route and a later one match but answer differently.

        Each match and later route get one case at most, and none if one of `cases` is such a
        request. The second value counts the pairs beyond the limit, which are not checked.
        """
        calls_by_match: dict[tuple[int | None, Match | None], list[Call]] = defaultdict(list)
        for case in cases:
            calls_by_match[self._finder.find(case.call)].append(case.call)
        overlap_cases: list[Case] = []
        pairs = overlaps.pair_with_later_routes(self._table)
        for index, match, later in itertools.islice(pairs, overlaps.MAX_PAIRS):
            calls = calls_by_match[index, match]
            if any(self._find_later_match(index, later, call) for call in calls):
                continue
            if overlap_case := self._derive_overlap_case(index, match, later):
                overlap_cases.append(overlap_case)
                calls.append(overlap_case.call)
                if len(overlap_cases) == overlaps.MAX_CASES:
                    break
        return overlap_cases, sum(1 for _ in pairs)

    def _derive_overlap_case(self, index: int, match: Match, later: int) -> Case | None:
        """Return the case of a request that this match takes and a later route would take too."""
        later_route = self._table.routes[later]
        for later_match in later_route.matches or (Match(later_route.at),):
            for entrance in self._entrances:
                call = self._find_call(entrance, index, match, later_match)
                if call is None or self._find_later_match(index, later, call) is None:
                    continue
                conditions = (*list_conditions(match), *list_conditions(later_match))
                properties = dict.fromkeys(condition.describe(call) for condition in conditions)
                description = " and ".join(filter(None, properties))
                description = description or _describe_call(call, entrance, index)
                description += f"{self._describe_entrance(entrance)}, first match"
                remark = f" (the route at {later_match.at} matches it too, but is later)"
                return self.make_case(call, description, match.at, remark)
        return None

    def _find_later_match(self, index: int, later: int, call: Call) -> Match | None:
        """Return the match by which a later route would take a call and answer it differently."""
        route = self._find_route(later, call)
        matches = route.matches or (Match(route.at),)
        later_match = next((match for match in matches if match_holds(match, call)), None)
        if later_match is None:
            return None
        deciding_index, deciding_match = self._finder.find(call)
        answer = _extract_observable(self._find_route(index, call), deciding_match, call)
        later_answer = _extract_observable(route, later_match, call)
        return later_match if deciding_index == index and answer != later_answer else None

    def _find_call(self, entrance: Call, index: int | None, *matches: Match | None) -> Call | None:
        """Return a call that satisfies all `matches` and that the route `index` takes, or None.

        Where an earlier route takes a call, the call is changed until that route's match fails.
        """
        queue = deque(itertools.islice(_generate_calls(entrance, *matches), _MAX_STARTS))
        queued = set(queue)
        for _ in range(_MAX_TRIES):
            if not queue:
                return None
            call = queue.popleft()
            if self._belongs_to_narrower_host(entrance, call) or (
                self._is_hidden_by_chance(entrance, call, matches)
            ):
                continue
            blocking = self._find_blocking_match(entrance, call, index)
            if blocking is None:
                return call
            for condition in list_conditions(blocking):
                for similar in condition.similar_calls(call):
                    fits = all(
                        match is None or match_holds(match, similar.call) for match in matches
                    )
                    if fits and not condition.holds(similar.call) and similar.call not in queued:
                        queued.add(similar.call)
                        queue.append(similar.call)
        return None

    def _find_blocking_match(self, entrance: Call, call: Call, index: int | None) -> Match | None:
        """Return a match that takes the call before the route `index` does, or None.

        An `index` of None stands for the end of the table. Rival tables block, too. For a route
        without a match this is a match without conditions.
        """
        own_index, match = self._finder.find(call)
        if own_index is not None and (index is None or own_index < index):
            return match or Match(self._table.routes[own_index].at)
        return self._find_rival_match(entrance, call)

    def _find_rival_match(self, entrance: Call, call: Call) -> Match | None:
        """Return the match of a rival table that decides a call, or may decide it, or None.

        For a rival that has the host alone it is a match without conditions.
        """
        if not self._is_visible(call):
            return Match(self._table.at)
        own_index, own_match = self._finder.find(call)
        for rival, gateway in self._rivals[entrance]:
            index, match = self._rival_finders[id(rival)].find(replace(call, gateway=gateway))
            if rival is self._table and index == own_index:
                continue
            if call.gateway == MESH:
                if not precedence.owns_mesh_host(self._table, rival, call):
                    return match or Match(rival.at)
            elif index is not None and not (
                own_index is not None
                and precedence.comes_first_at_gateway(
                    precedence.Taker(
                        self._table, own_match, self._gateways[call.gateway], call.proxy.namespace
                    ),
                    precedence.Taker(rival, match, self._gateways[gateway], call.proxy.namespace),
                )
            ):
                return match or Match(rival.routes[index].at)
        return None

    def _is_visible(self, call: Call) -> bool:
        """Say whether the sidecar of a call's caller gets the table; a gateway's always does."""
        return call.gateway != MESH or self._table.is_visible_from(call.namespace)

    def _is_contested(self, entrance: Call, call: Call) -> bool:
        """Say whether a rival table decides the call, or has a host that is nearer to it."""
        return (
            self._belongs_to_narrower_host(entrance, call)
            or self._has_other_host_name(call)
            or self._find_rival_match(entrance, call) is not None
            or (self._is_hidden(call) and not self._is_hidden(entrance))
        )

    def _is_hidden_by_chance(
        self, entrance: Call, call: Call, matches: Iterable[Match | None]
    ) -> bool:
        """Say whether a Sidecar keeps a call from the table whose caller no match asks for."""
        if not self._is_hidden(call) or self._is_hidden(entrance):
            return False
        return not any(match and match.source_namespace == call.namespace for match in matches)

    def _is_hidden(self, call: Call) -> bool:
        """Say whether a Sidecar keeps a call from the table."""
        return sidecars.hides(self._rules, self._table, call, self._ways_in.service_ports)

    def _has_other_host_name(self, call: Call) -> bool:
        """Say whether a rule names another host in the mesh as a call names its host.

        `cart.shop` is such a host of a rule, and a name of the service of `cart` in `shop`.
        """
        name = call.host_header.partition(":")[0]
        return (
            call.gateway == MESH
            and name != call.host
            and any(name in table.hosts for table in self._rules.tables if table.applies_to_mesh)
        )

    def _belongs_to_narrower_host(self, entrance: Call, call: Call) -> bool:
        """Say whether a rival table at the gateway has a narrower host for the call: it decides."""
        name = call.host_header.partition(":")[0]
        return any(hosts.covers(host, name) for host in self._narrower_hosts[entrance])

    def _derive_no_route_case(self, cases: list[Case]) -> Iterator[Case]:
        """Yield the case of a call that no route takes, unless one of `cases` is such a call."""
        if any(case.route_index is None for case in cases):
            return
        for entrance in self._entrances:
            call = self._find_call(entrance, None, None)
            if call is not None:
                yield self.make_case(call, _describe_call(call, entrance, 1), self._table.at)
                return

    def _derive_export_case(self) -> Iterator[Case]:
        """Yield the case of a caller in a namespace that the table is not exported to."""
        if not self._table.is_visible_from(CALLER_NAMESPACE):
            for entrance in self._entrances:
                call = replace(entrance, namespace=CALLER_NAMESPACE)
                is_taken = any(
                    rival.is_visible_from(CALLER_NAMESPACE) for rival, _ in self._rivals[entrance]
                )
                if entrance.gateway == MESH and not is_taken:
                    description = f"from namespace {CALLER_NAMESPACE} (it is not exported there)"
                    yield self.make_case(call, description, self._table.at)
                    return

    def _explain_unreached(self, index: int, route: Route) -> str:
        """Return why no case reaches a route."""
        if not self._entrances:
            if self._table.ports:
                ports = ", ".join(map(str, self._table.ports))
                return f"{', '.join(self._table.hosts)} has no port {ports}"
            if self._table.gateways is not None and MESH in self._table.gateways:
                return f"no port of {', '.join(self._table.hosts)} is one of HTTP"
            names = ", ".join(self._table.gateways or ())
            if shut := self._ways_in.explain_shut(self._table):
                return shut
            if namespace := self._ways_in.find_blind_namespace(self._table):
                return f"it is not exported to {namespace}, where the proxy of {names} is"
            return f"{names} serves none of the hosts {', '.join(self._table.hosts)}"
        for entrance, match in itertools.product(self._entrances, route.matches or (None,)):
            for call in itertools.islice(_generate_calls(entrance, match), 1):
                if blocking := self._find_blocking_match(entrance, call, index):
                    return self._explain_blocked(blocking, index, entrance, call)
        reasons = filter(
            None,
            (
                explain(match)
                for match in route.matches
                for explain in (explain_claim, explain_unsendable_path)
            ),
        )
        return next(reasons, "no request was found that satisfies its match")

    def _explain_blocked(self, blocking: Match, index: int, entrance: Call, call: Call) -> str:
        """Return in words which route keeps requests from the route `index`."""
        for route in self._table.routes[:index]:
            if route.at == blocking.at or blocking in route.matches:
                return f"the route at {route.at} takes everything that it matches"
        for rival, _ in self._rivals[entrance] if call.gateway == MESH else ():
            order = precedence.owns_mesh_host(self._table, rival, call)
            if order is False:
                return f"the rule at {rival.at} has {call.host} alone: it is older or nearer"
            if order is None:
                return (
                    f"the rule at {rival.at} is for {call.host}, too; which of them has it alone "
                    "is not specified: the older one, and no creationTimestamp tells it"
                )
        return (
            f"the rule at {blocking.at} takes it too; which comes first is not specified: the "
            "older one, and no creationTimestamp tells it"
            if self._is_order_unknown(entrance)
            else f"the rule at {blocking.at} takes it too, and comes first"
        )

    def _is_order_unknown(self, entrance: Call) -> bool:
        """Say whether the table or a rival at an entrance does not say when it was made."""
        tables = (self._table, *(rival for rival, _ in self._rivals[entrance]))
        return not all(table.created for table in tables)

    def _describe_entrance(self, entrance: Call) -> str:
        """Return gateway and port in words, where the host has several of them."""
        same_host = [call for call in self._entrances if call.host == entrance.host]
        description = ""
        if len({call.gateway for call in same_host}) > 1:
            description += f" through {entrance.gateway}"
        if len({call.port for call in same_host if call.gateway == entrance.gateway}) > 1:
            description += f" on port {entrance.port}"
        if len({call.proxy for call in same_host if call.gateway == entrance.gateway}) > 1:
            description += _describe_proxy(entrance)
        if entrance.gateway == MESH and entrance.namespace != CALLER_NAMESPACE:
            description += f" from namespace {entrance.namespace}"
        return description

    def make_case(
        self,
        call: Call,
        description: str,
        at: At,
        remark: str = "",
        answer: ExpectedAnswer | None = None,
    ) -> Case:
        """Return the case of a call. `answer` replaces the one that its route gives."""
        index, match = self._finder.find(call) if self._is_visible(call) else (None, None)
        is_mesh_service = call.gateway == MESH and is_service(call.host)
        service = call.host.split(".")[0] if is_mesh_service else call.host
        shares: Shares = ()
        status = 200
        if index is not None:
            route = self._find_route(index, call)
            is_cut_off = answer is None and cors.cuts_off_actions(route, call)
            answer = answer or _expect_answer(route, match, call)
            is_open = cors.is_open(route, call)
            unproven = (
                *((cors.OPEN_REASON,) if is_open else ()),
                *((cors.CUT_OFF_REASON,) if is_cut_off else ()),
                *list_unproven(match, call),
                *actions.list_unproven(route, match, call),
                *timeouts_and_retries.list_unproven(route),
                *cors.list_unproven(route, match),
                *pod_keys.list_unproven(
                    self._rules, route, answer, subsets.find_caller_namespace(call)
                ),
            )
            answer = replace(answer, unproven=unproven, is_open=is_open)
            shares = actions.compute_shares(route, 1 - answer.proxy_reply_share)
            status = answer.proxy_reply.status if answer.proxy_reply and not shares else 200
        elif (
            self._table.gateways is None
            or not self._is_visible(call)
            or is_hidden_from_caller(self._table, call)
        ):
            answer = actions.expect_passthrough(call)
            shares = ((Destination(call.host, (), ""), 1.0),)
        else:
            status = 404
            answer = answer or ExpectedAnswer(ProxyReply(status, str(status)), 1.0)
        options = self._table.routes[index].options if index is not None else ()
        case = Case("", "", call, shares, status, index, at, self._table.at, answer, options)
        answered_by = describe_answer(case, service)
        return replace(
            case,
            alternative_shares=self._list_outcome_shares(call),
            id=f"{service}: {description} -> {answered_by}",
            title=f"{service}: {description}{remark} {self._describe_ending(case, answered_by)}",
        )

    def _describe_ending(self, case: Case, answered_by: str) -> str:
        """Return where a case's request ends, for its title, with what is not proven of it."""
        verb = "goes to" if case.shares else "is answered"
        changes = describe_header_changes(case.answer)
        parts = [
            f"{verb} {answered_by}",
            *changes,
            *(f"not proven: {part}" for part in case.answer.unproven),
        ]
        return "; ".join(parts) + self._describe_unseen(case.call, case.route_index)

    def list_foreign_names(
        self, entrance: Call, named_hosts: Mapping[Listener, Collection[str]]
    ) -> Iterator[tuple[str, str]]:
        """Yield hosts that are not for this table at an entrance at a gateway, each with why.

        They are those that it has for other namespaces, and those of another proxy.
        """
        listener = find_listener(entrance)
        named_here = named_hosts.get(listener, ())
        elsewhere = (
            host
            for other, named in named_hosts.items()
            if other.port == listener.port and other.proxy != listener.proxy
            for host in sorted(named)
        )
        for foreign_hosts, reason in (
            (self._ways_in.list_withheld_hosts(self._table, entrance), "for other namespaces"),
            (elsewhere, "at another proxy"),
        ):
            names = map(hosts.make_example, foreign_hosts)
            unnamed = (
                name for name in names if not any(hosts.covers(host, name) for host in named_here)
            )
            for name in itertools.islice(unnamed, 1):
                yield name, reason

    def make_redirected_case(self, call: Call) -> Case:
        """Return the case of a call that its gateway redirects to https, whatever the rules say."""
        location = f"https://{call.host_header}{call.request_target}"
        reply = ProxyReply(301, f"301 to {shorten(location)}", location)
        description = f"any request in plain HTTP on port {call.port}"
        if len(self._gateways[call.gateway].proxies) > 1:
            description += _describe_proxy(call)
        return self.make_unrouted_case(call, description, ExpectedAnswer(reply, 1.0))

    def make_unrouted_case(
        self, call: Call, description: str, answer: ExpectedAnswer | None = None
    ) -> Case:
        """Return the case of a call that gets to no rule: the gateway itself gives the answer."""
        without_routes = replace(self._table, routes=())
        unrouted = _TableDeriver(without_routes, [], [], self._rules, self._ways_in)
        case = unrouted.make_case(call, description, self._table.at, answer=answer)
        reply = answer.proxy_reply if answer is not None else None
        return replace(case, status=reply.status) if reply is not None else case

    def _describe_unseen(self, call: Call, index: int | None) -> str:
        """Return in words which subsets of a route the caller has no DestinationRule for."""
        if index is None:
            return ""
        caller = subsets.find_caller_namespace(call)
        unseen = [
            f"subset {target.subset_name} of {target.host}"
            for target in self._table.routes[index].targets
            if not subsets.sees_subset(self._rules, target, caller)
        ]
        return "".join(
            f"; no DestinationRule that callers of namespace {caller} see defines {name}: they get "
            "a 503"
            for name in dict.fromkeys(unseen)
        )


def _expect_answer(route: Route, match: Match | None, call: Call) -> ExpectedAnswer:
    """Return the expected answer to a call that a route takes, also to one of a browser."""
    return cors.answer_preflight(route, call) or actions.expect_answer(route, match, call)


def _describe_proxy(call: Call) -> str:
    """Return in words at which proxy a call comes in."""
    return f" at proxies with {call.proxy.name}" if call.proxy.name else " at the usual proxy"


def _describe_call(call: Call, entrance: Call, index: int) -> str:
    """Return in words how a call differs from the plainest one at its entrance."""
    differences = [f"path {call.path}"] if call.path != entrance.path else []
    differences += [f"method {call.method}"] if call.method != entrance.method else []
    differences += [f"{name} {value}" for name, value in call.headers]
    differences += [f"query {name}={value}" for name, value in call.query]
    subject = "any other request" if index else "any request"
    return f"{subject} with {' and '.join(differences)}" if differences else subject


def _generate_calls(
    entrance: Call, match: Match | None, later_match: Match | None = None
) -> Iterator[Call]:
    """Yield calls at an entrance that satisfy both matches."""
    if match is None:
        return iter((entrance,))
    if later_match is not None:
        return overlaps.find_common_calls(match, later_match, entrance)
    # One condition may undo what another one needs.
    calls = _satisfy_all(list_conditions(match), entrance)
    return (call for call in calls if match_holds(match, call))


def _satisfy_all(conditions: list[Condition], call: Call) -> Iterator[Call]:
    """Yield calls that satisfy one condition after the other."""
    if not conditions:
        yield call
        return
    first, *remaining = conditions
    holds: Callable[[Call], bool] = first.holds
    for changed in itertools.islice(filter(holds, first.satisfying_calls(call)), _MAX_VALUES):
        yield from _satisfy_all(remaining, changed)


def _extract_observable(route: Route, match: Match | None, call: Call) -> tuple[object, ...]:
    """Return the parts of a route's answer that requests can observe."""
    answer = actions.expect_answer(route, match, call)
    shares = frozenset(actions.compute_shares(route, 1 - answer.proxy_reply_share))
    return (
        shares,
        answer.proxy_reply,
        answer.proxy_reply_share,
        answer.arrivals,
        answer.min_seconds,
    )
