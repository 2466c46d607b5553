"""The oracle: from the rules alone, which request must be answered by whom.

For every route a request that reaches it; for every condition of every match its near misses; for
routes that overlap a request that both match; every weight as a split; what no route takes. Nothing
here is shared with `mesh/translate.py` beyond the model: two independent readings of the rules are
compared by real traffic.
"""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from meshproof.base.errors import BadRules, nearest
from meshproof.base.names import CLUSTER_DOMAIN, MESH
from meshproof.documents.manifest import At
from meshproof.oracle import actions, cors, overlaps, timeouts_and_retries
from meshproof.oracle.actions import Answer, Destination, Reply, Shares
from meshproof.oracle.case import Case, Coverage, Plan, changes, goal, unique, unseen
from meshproof.oracle.conditions import OTHER, Call, Condition, conditions
from meshproof.rules.model import Match, Route, RouteTable, RuleSet

__all__ = ["Call", "Case", "Coverage", "Destination", "Plan", "decide", "derive", "holds"]

#: So many calls are tried until one gets past the routes before its own.
_TRIES = 300
#: So many ways to satisfy one match are looked at.
_WAYS = 60
_DEFAULT_PORTS = (80,)


def derive(rules: RuleSet, ports: Mapping[str, Sequence[int]] | None = None) -> Plan:
    """Return the cases of all routes; `ports` are those of services by full host (else 80).

    Raises BadRules for a gateway that is not there and when there is no case to prove anything.
    """
    places = [list(_places(rules, table, ports or {})) for table in rules.tables]
    cases: list[Case] = []
    coverage: list[Coverage] = []
    for number, (table, own) in enumerate(zip(rules.tables, places, strict=True)):
        others = zip(rules.tables, places, strict=True)
        rivals = [(other, theirs) for other, theirs in others if other is not table]
        found, covered = _Deriver(table, own, rivals).derive()
        cases += (replace(case, number=number) for case in found)
        coverage.append(covered)
    if not cases:
        reasons = [f"\n{table.at}: {words}" for table, words in _reasons(coverage)]
        raise BadRules(
            f"no request follows from the rules{':' if reasons else ', there is no route in them'}"
            + "".join(reasons)
        )
    return Plan(tuple(unique(cases)), tuple(coverage))


def _reasons(coverage: Iterable[Coverage]) -> Iterator[tuple[Route, str]]:
    for one in coverage:
        for index, words in one.unreached:
            yield one.table.routes[index], words


def _places(
    rules: RuleSet, table: RouteTable, ports: Mapping[str, Sequence[int]]
) -> Iterator[Call]:
    """Yield the plainest call for each host, gateway and port of a route."""
    known = {gateway.name: gateway for gateway in rules.gateways}
    for name in (MESH,) if table.gateways is None else table.gateways:
        if name == MESH:
            for host in table.hosts:
                for port in filter(table.takes, ports.get(host, table.ports or _DEFAULT_PORTS)):
                    yield Call(host, authority=_example(host) if "*" in host else "", port=port)
            continue
        if name not in known:
            raise table.at.missing(
                f"there is no Gateway {name}{nearest(name, known)}", name.partition("/")[0]
            )
        for server in known[name].servers:
            for host, served in itertools.product(table.hosts, server.hosts):
                if narrower := _narrower(host, served):
                    authority = _example(narrower)
                    yield Call(narrower, authority=authority, gateway=name, port=server.port)


def _narrower(one: str, two: str) -> str:
    """Return the host that both take: `*` and `*.example.com` take more than one. Else nothing."""
    for wide, host in ((one, two), (two, one)):
        if wide == host or (wide.startswith("*") and host.endswith(wide[1:])):
            return host
    return ""


def _example(host: str) -> str:
    """Return a name that a host with a wildcard takes."""
    if host == "*":
        return f"{OTHER}.example"
    return OTHER + host[1:] if host.startswith("*") else host


def decide(table: RouteTable, call: Call) -> int | None:
    """Return the index of the first route that takes the call, None when none does."""
    return _taken(table, call)[0]


def _taken(table: RouteTable, call: Call) -> tuple[int | None, Match | None]:
    """Return the index of the route that takes the call, and its first match that holds."""
    for index, route in enumerate(table.routes):
        for match in route.matches or (None,):
            if match is None or holds(match, call):
                return index, match
    return None, None


def holds(match: Match, call: Call) -> bool:
    """Say whether every condition of a match holds for the call."""
    return all(condition.holds(call) for condition in conditions(match))


class _Deriver:
    """Derives the cases of a route table at its places.

    `rivals` are other tables with theirs: at a place that two share it is not specified whose
    routes come first, so that no case follows from a call that both take.
    """

    def __init__(
        self, table: RouteTable, places: list[Call], rivals: list[tuple[RouteTable, list[Call]]]
    ) -> None:
        self._route = table
        self._places = places
        self._rivals = {
            place: [other for other, theirs in rivals if _place(place) in map(_place, theirs)]
            for place in places
        }

    def derive(self) -> tuple[list[Case], Coverage]:
        """Return the cases, and which routes they reach."""
        cases: list[Case] = []
        unreached: list[tuple[int, str]] = []
        for index, route in enumerate(self._route.routes):
            reaching = [
                self._match_cases(index, route, match) for match in route.matches or (None,)
            ]
            cases += itertools.chain(*reaching)
            if not any(reaching):
                unreached.append((index, self._why_unreached(index, route)))
        cases += self._rest(cases)
        first, unordered = self._first_matches(cases)
        cases += first
        reached = {case.route for case in cases if case.route is not None}
        return cases, Coverage(
            self._route,
            tuple(sorted(reached)),
            tuple((index, words) for index, words in unreached if index not in reached),
            unordered,
        )

    @cached_property
    def _outcomes(self) -> tuple[Shares, ...]:
        """The shares of every route, and of what none takes: each a way to answer a call."""
        found = [actions.shares(route, 1 - actions.aborted(route)) for route in self._route.routes]
        if self._route.gateways is None and all(route.matches for route in self._route.routes):
            found += [((Destination(host, (), ""), 1.0),) for host in self._route.hosts]
        return tuple(dict.fromkeys(filter(None, found)))

    def _match_cases(self, index: int, route: Route, match: Match | None) -> list[Case]:
        """Return the cases of one match: one at each place, its near misses at the first."""
        cases: list[Case] = []
        for place in self._places:
            call = self._reaching(place, index, match)
            if call is None:
                continue
            first = not cases
            told, said = self._words(place, call, index, match)
            at = route.at if match is None else match.at
            cases.append(self._case(call, told, at, said))
            if first:
                cases += self._variants(route, match, call, told)
            if first and match is not None:
                cases += self._near_cases(place, call, match)
        return cases

    def _words(self, place: Call, call: Call, index: int, match: Match | None) -> tuple[str, str]:
        """Return what tells a call that a route takes from others, and what the route asks for."""
        found = conditions(match) if match else []
        words = " and ".join(filter(None, (one.told(call) for one in found)))
        said = " and ".join(one.name for one in found)
        told = (words or _told(call, place, index)) + self._through(place)
        return told, f" ({said})" if said else ""

    def _variants(self, route: Route, match: Match | None, call: Call, told: str) -> Iterator[Case]:
        """Yield the cases that the actions of a route need beside the one that reaches it."""
        sources = timeouts_and_retries, actions, cors
        for variant in itertools.chain(*(one.variants(route, match, call) for one in sources)):
            if _taken(self._route, variant.call) == _taken(self._route, call):
                yield self._case(
                    variant.call, f"{told}, {variant.words}", route.at, answer=variant.answer
                )

    def _near_cases(self, place: Call, call: Call, match: Match) -> Iterator[Case]:
        for condition in conditions(match):
            for near in condition.near(call):
                if not self._contested(place, near.call):
                    yield self._case(near.call, near.words, condition.at)

    def _first_matches(self, cases: list[Case]) -> tuple[list[Case], int]:
        """Return cases of requests that a route and a later one match and would answer otherwise.

        For each match and later route there is one at most, and none where one of `cases` is such a
        request. The second is the number of pairs that were not looked at: overlaps has a limit.
        """
        known: dict[tuple[int | None, Match | None], list[Call]] = defaultdict(list)
        for case in cases:
            known[_taken(self._route, case.call)].append(case.call)
        found: list[Case] = []
        pairs = overlaps.pairs(self._route)
        for index, match, later in itertools.islice(pairs, overlaps.MOST_PAIRS):
            if any(self._later(index, later, call) for call in known[index, match]):
                continue
            if first := self._first_match(index, match, later):
                found.append(first)
                known[index, match].append(first.call)
                if len(found) == overlaps.MOST_CASES:
                    break
        return found, sum(1 for _ in pairs)

    def _first_match(self, index: int, match: Match, later: int) -> Case | None:
        """Return the case of a request that this match takes and a later route would take too."""
        for other in self._route.routes[later].matches or (Match(self._route.routes[later].at),):
            for place in self._places:
                call = self._reaching(place, index, match, other)
                if call is None or self._later(index, later, call) is None:
                    continue
                told = [one.told(call) for one in (*conditions(match), *conditions(other))]
                words = " and ".join(dict.fromkeys(filter(None, told))) or _told(call, place, index)
                said = f" (the route at {other.at} matches it too, but is later)"
                words += f"{self._through(place)}, first match"
                return self._case(call, words, match.at, said)
        return None

    def _later(self, index: int, later: int, call: Call) -> Match | None:
        """Return the match by which a later route would take a call and answer it otherwise."""
        route = self._route.routes[later]
        match = next((it for it in route.matches or (Match(route.at),) if holds(it, call)), None)
        if match is None:
            return None
        taken, by = _taken(self._route, call)
        ours = _answered(self._route.routes[index], by, call)
        return match if taken == index and ours != _answered(route, match, call) else None

    def _reaching(self, place: Call, index: int | None, *matches: Match | None) -> Call | None:
        """Return a call at a place that the route takes and all these matches, None without one.

        A call that a route before it takes is changed until that route's match does not hold.
        """
        queue = deque(itertools.islice(_ways(place, *matches), _WAYS))
        seen = set(queue)
        for _ in range(_TRIES):
            if not queue:
                return None
            call = queue.popleft()
            blocking = self._blocking(place, call, index)
            if blocking is None:
                return call
            for condition in conditions(blocking):
                for near in condition.near(call):
                    fits = all(match is None or holds(match, near.call) for match in matches)
                    if fits and not condition.holds(near.call) and near.call not in seen:
                        seen.add(near.call)
                        queue.append(near.call)
        return None

    def _blocking(self, place: Call, call: Call, index: int | None) -> Match | None:
        """Return a match that takes the call before the route `index` (None: at all), if one does.

        For a route without a match that is a match without conditions.
        """
        routes = list(self._route.routes if index is None else self._route.routes[:index])
        for route in routes + [route for rival in self._rivals[place] for route in rival.routes]:
            for match in route.matches or (Match(route.at),):
                if holds(match, call):
                    return match
        return None

    def _contested(self, place: Call, call: Call) -> bool:
        return any(decide(rival, call) is not None for rival in self._rivals[place])

    def _rest(self, cases: list[Case]) -> Iterator[Case]:
        """Yield the case of a call that no route takes, if there is one that no case has yet."""
        if any(case.route is None for case in cases):
            return
        for place in self._places:
            call = self._reaching(place, None, None)
            if call is not None:
                yield self._case(call, _told(call, place, 1), self._route.at)
                return

    def _why_unreached(self, index: int, route: Route) -> str:
        if not self._places:
            if self._route.ports:
                wanted = ", ".join(map(str, self._route.ports))
                return f"{', '.join(self._route.hosts)} has no port {wanted}"
            names = ", ".join(self._route.gateways or ())
            return f"{names} serves none of the hosts {', '.join(self._route.hosts)}"
        for place, match in itertools.product(self._places, route.matches or (None,)):
            for call in itertools.islice(_ways(place, match), 1):
                if blocking := self._blocking(place, call, index):
                    return self._blocked(blocking, index)
        return "no request was found that satisfies its match"

    def _blocked(self, blocking: Match, index: int) -> str:
        for route in self._route.routes[:index]:
            if route.at == blocking.at or blocking in route.matches:
                return f"the route at {route.at} takes everything that it matches"
        return f"the rule at {blocking.at} takes it too; which comes first is not specified"

    def _through(self, place: Call) -> str:
        """Return what tells a place from others of its host."""
        same = [one for one in self._places if one.host == place.host]
        words = ""
        if len({one.gateway for one in same}) > 1:
            words += f" through {place.gateway}"
        if len({one.port for one in same if one.gateway == place.gateway}) > 1:
            words += f" on port {place.port}"
        return words

    def _case(
        self, call: Call, words: str, at: At, said: str = "", answer: Answer | None = None
    ) -> Case:
        index, match = _taken(self._route, call)
        inside = call.gateway == MESH and call.host.endswith(CLUSTER_DOMAIN)
        service = call.host.split(".")[0] if inside else call.host
        shares: Shares = ()
        status = 200
        if index is not None:
            route = self._route.routes[index]
            answer = answer or actions.answer(route, match, call)
            missing = (*timeouts_and_retries.unproven(route), *cors.unproven(route, match))
            answer = replace(answer, unproven=missing)
            shares = actions.shares(route, 1 - answer.replied)
            status = answer.reply.status if answer.reply and not shares else 200
        elif self._route.gateways is None or unseen(self._route, call):
            answer, shares = actions.plain(call), ((Destination(call.host, (), ""), 1.0),)
        else:
            status = 404
            answer = Answer(Reply(status, str(status)), 1.0)
        options = self._route.routes[index].options if index is not None else ()
        found = Case("", "", call, shares, status, index, at, self._route.at, answer, options)
        to = goal(found, service)
        ending = f"goes to {to}" if shares else f"is answered {to}"
        lacking = "".join(f"; {said}" for said in changes(answer))
        lacking += "".join(f"; not proven: {said}" for said in answer.unproven)
        return replace(
            found,
            rivals=self._outcomes,
            id=f"{service}: {words} -> {to}",
            title=f"{service}: {words}{said} {ending}{lacking}",
        )


def _place(call: Call) -> tuple[str, str, int]:
    return call.gateway, call.host, call.port


def _told(call: Call, place: Call, index: int) -> str:
    """Return in words a call that no condition describes: how it differs from the plainest."""
    words = [f"path {call.path}"] if call.path != place.path else []
    words += [f"method {call.method}"] if call.method != place.method else []
    words += [f"{name} {value}" for name, value in call.headers]
    words += [f"query {name}={value}" for name, value in call.query]
    plain = "any other request" if index else "any request"
    return f"{plain} with {' and '.join(words)}" if words else plain


def _ways(place: Call, match: Match | None, other: Match | None = None) -> Iterator[Call]:
    """Yield calls at a place for which both hold. One condition may undo what another needs."""
    if match is None:
        return iter((place,))
    if other is not None:
        return overlaps.calls(match, other, place)
    return (call for call in _satisfying(conditions(match), place) if holds(match, call))


def _satisfying(wanted: list[Condition], call: Call) -> Iterator[Call]:
    """Yield calls that satisfy every condition."""
    if not wanted:
        yield call
        return
    first, *rest = wanted
    ways: Callable[[Call], bool] = first.holds
    for satisfied in itertools.islice(filter(ways, first.satisfied(call)), 8):
        yield from _satisfying(rest, satisfied)


def _answered(route: Route, match: Match | None, call: Call) -> tuple[object, ...]:
    """Return what requests can tell of the answer to a call that a route takes."""
    answer = actions.answer(route, match, call)
    shares = frozenset(actions.shares(route, 1 - answer.replied))
    return shares, answer.reply, answer.replied, answer.arrivals, answer.least
