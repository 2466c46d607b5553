"""The oracle: from the rules alone, which request must be answered by whom.

For every arm a request that reaches it; for every condition of every match its near misses; every
weight as a split; what no arm takes. Nothing here is shared with `mesh/translate.py` beyond the
model: two independent readings of the rules are compared by real traffic.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from meshproof import strings
from meshproof.errors import BadRules
from meshproof.manifest import At
from meshproof.rules.model import MESH, Arm, Labels, Match, Route, RuleSet, StringMatch

Pairs = tuple[tuple[str, str], ...]
#: So many ways to satisfy a match are tried until one gets past the arms before it.
_TRIES = 300
#: A header, value or path that no sensible rule asks for.
_OTHER = "meshproof-other"


@dataclass(frozen=True)
class Call:
    """A request as the rules see it.

    `host` is the full name of the service that is called (or a gateway's host), `source` are the
    labels of the calling workload, `gateway` is where it comes in (`mesh`: from a sidecar).
    Header names are lower case.
    """

    host: str
    path: str = "/"
    method: str = "GET"
    headers: Pairs = ()
    query: Pairs = ()
    authority: str = ""
    source: Labels = ()
    gateway: str = MESH

    def header(self, name: str) -> str | None:
        """Return the value of a header, None when it is absent."""
        return dict(self.headers).get(name)

    def with_header(self, name: str, value: str | None) -> Call:
        """Return the call with a header set, or left out for None."""
        kept = tuple(pair for pair in self.headers if pair[0] != name)
        return replace(self, headers=kept if value is None else (*kept, (name, value)))

    def with_query(self, name: str, value: str | None) -> Call:
        """Return the call with a query parameter set, or left out for None."""
        kept = tuple(pair for pair in self.query if pair[0] != name)
        return replace(self, query=kept if value is None else (*kept, (name, value)))


@dataclass(frozen=True)
class Destination:
    """Who must answer: a service and, with labels, one subset of it."""

    host: str
    labels: Labels
    subset: str


@dataclass(frozen=True)
class Case:
    """A request and how it must be answered.

    `shares` are destination -> share (0..1, summing to 1), empty where `status` is not 200: then no
    destination answers. `arm` is the index of the arm that decides, None when none does. `id` reads
    as words and is unique in its rule set; `at` is the place of the arm or condition that the case
    is about; `title` is the sentence that it proves.
    """

    id: str
    title: str
    call: Call
    shares: tuple[tuple[Destination, float], ...]
    status: int
    arm: int | None
    at: At
    route: str = field(default="", compare=False)


@dataclass(frozen=True)
class Coverage:
    """Which arms of a route have a case that reaches them; the others with the reason why not."""

    route: Route
    reached: tuple[int, ...]
    unreached: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Plan:
    """All cases of a rule set and the coverage of its arms."""

    cases: tuple[Case, ...]
    coverage: tuple[Coverage, ...]

    @property
    def share(self) -> float:
        """Part of all arms that a case reaches, 0..1."""
        arms = sum(len(one.route.arms) for one in self.coverage)
        return sum(len(one.reached) for one in self.coverage) / arms if arms else 0.0


def derive(rules: RuleSet) -> Plan:
    """Return the cases of all routes. Raises BadRules when there is none to prove anything."""
    found: list[Case] = []
    coverage: list[Coverage] = []
    for route in rules.routes:
        for host in route.hosts:
            cases, covered = _Deriver(route, host).derive()
            found += cases
            coverage.append(covered)
    if not found:
        raise BadRules("the rules give no case: there is no route in them")
    return Plan(tuple(_unique(found)), tuple(coverage))


def decide(route: Route, call: Call) -> int | None:
    """Return the index of the first arm that takes the call, None when none does."""
    for index, arm in enumerate(route.arms):
        if not arm.matches or any(holds(match, call) for match in arm.matches):
            return index
    return None


def holds(match: Match, call: Call) -> bool:
    """Say whether every condition of a match holds for the call."""
    return all(condition.holds(call) for condition in _conditions(match))


@dataclass(frozen=True)
class _Condition:
    """One condition: whether it holds, calls that satisfy it, calls that just miss it."""

    name: str
    at: At
    holds: Callable[[Call], bool]
    satisfied: Callable[[Call], Iterable[Call]]
    missed: Callable[[Call], Iterable[tuple[str, Call]]]


def _conditions(match: Match) -> list[_Condition]:
    found: list[_Condition] = []
    if match.uri is not None:
        found.append(_uri(match.uri, match.ignore_uri_case))
    if match.method is not None:
        found.append(_method(match.method))
    if match.authority is not None:
        found.append(_authority(match.authority))
    found += [_header(name, value) for name, value in match.headers]
    found += [_no_header(name, value) for name, value in match.without_headers]
    found += [_query(name, value) for name, value in match.query]
    if match.source:
        found.append(_source(match.source, match.at))
    if match.gateways:
        found.append(_gateways(match.gateways, match.at))
    return found


def _uri(wanted: StringMatch, ignore_case: bool) -> _Condition:
    def test(call: Call) -> bool:
        if ignore_case and wanted.kind != "regex":
            lowered = replace(wanted, value=wanted.value.lower())
            return strings.matches(lowered, call.path.lower())
        return strings.matches(wanted, call.path)

    def satisfied(call: Call) -> Iterator[Call]:
        for path in strings.matching(wanted, "/"):
            if path.startswith("/"):
                yield replace(call, path=path)
                if ignore_case:
                    yield replace(call, path=path.swapcase())

    def missed(call: Call) -> Iterator[tuple[str, Call]]:
        for words, path in strings.missing(wanted, call.path):
            if path.startswith("/"):
                yield f"path {path} ({words})", replace(call, path=path)

    return _Condition(f"path {wanted}", wanted.at, test, satisfied, missed)


def _method(wanted: StringMatch) -> _Condition:
    def missed(call: Call) -> Iterator[tuple[str, Call]]:
        for method in ("GET", "POST", "DELETE"):
            yield f"method {method}", replace(call, method=method)

    return _Condition(
        f"method {wanted}",
        wanted.at,
        lambda call: strings.matches(wanted, call.method),
        lambda call: (replace(call, method=value) for value in strings.matching(wanted, "GET")),
        missed,
    )


def _authority(wanted: StringMatch) -> _Condition:
    return _Condition(
        f"authority {wanted}",
        wanted.at,
        lambda call: strings.matches(wanted, call.authority or call.host),
        lambda call: (replace(call, authority=one) for one in strings.matching(wanted, call.host)),
        lambda call: [("another authority", replace(call, authority=f"{_OTHER}.example"))],
    )


def _header(name: str, wanted: StringMatch) -> _Condition:
    def test(call: Call) -> bool:
        value = call.header(name)
        return value is not None and strings.matches(wanted, value)

    def missed(call: Call) -> Iterator[tuple[str, Call]]:
        yield f"without {name}", call.with_header(name, None)
        value = call.header(name) or ""
        if wanted.kind == "present":
            return
        for words, other in strings.missing(wanted, value):
            yield f"{name} {other} ({words})", call.with_header(name, other)
        if name == "cookie":
            for words, other in strings.cookies(value):
                yield f"cookie {other} ({words})", call.with_header(name, other)

    return _Condition(
        f"{name} {wanted}",
        wanted.at,
        test,
        lambda call: (call.with_header(name, one) for one in strings.matching(wanted, "1")),
        missed,
    )


def _no_header(name: str, wanted: StringMatch) -> _Condition:
    def test(call: Call) -> bool:
        value = call.header(name)
        return value is None or not strings.matches(wanted, value)

    def missed(call: Call) -> Iterator[tuple[str, Call]]:
        for value in itertools.islice(strings.matching(wanted, "1"), 1):
            yield f"with {name}", call.with_header(name, value)

    return _Condition(
        f"without {name} {wanted}",
        wanted.at,
        test,
        lambda call: [call.with_header(name, None), call.with_header(name, _OTHER)],
        missed,
    )


def _query(name: str, wanted: StringMatch) -> _Condition:
    def test(call: Call) -> bool:
        value = dict(call.query).get(name)
        return value is not None and strings.matches(wanted, value)

    def missed(call: Call) -> Iterator[tuple[str, Call]]:
        yield f"without query {name}", call.with_query(name, None)
        if wanted.kind != "present":
            for words, other in strings.missing(wanted, dict(call.query).get(name, "")):
                yield f"query {name}={other} ({words})", call.with_query(name, other)

    return _Condition(
        f"query {name} {wanted}",
        wanted.at,
        test,
        lambda call: (call.with_query(name, one) for one in strings.matching(wanted, "1")),
        missed,
    )


def _source(wanted: Labels, at: At) -> _Condition:
    words = ",".join(f"{key}={value}" for key, value in wanted)
    return _Condition(
        f"source {words}",
        at,
        lambda call: set(wanted) <= set(call.source),
        lambda call: [replace(call, source=tuple(sorted({*call.source, *wanted})))],
        lambda call: [("from another workload", replace(call, source=(("app", _OTHER),)))],
    )


def _gateways(wanted: tuple[str, ...], at: At) -> _Condition:
    return _Condition(
        f"through {', '.join(wanted)}",
        at,
        lambda call: call.gateway in wanted,
        lambda call: (replace(call, gateway=one) for one in wanted),
        lambda call: (),
    )


class _Deriver:
    """Derives the cases of one host of a route."""

    def __init__(self, route: Route, host: str) -> None:
        self._route = route
        self._host = host
        where = (route.gateways or (MESH,))[0]
        self._plain = Call(host, gateway=where)

    def derive(self) -> tuple[list[Case], Coverage]:
        """Return the cases, and which arms they reach."""
        cases: list[Case] = []
        unreached: list[tuple[int, str]] = []
        for index, arm in enumerate(self._route.arms):
            found = [
                case
                for match in arm.matches or (None,)
                for case in self._match_cases(index, arm, match)
            ]
            if not any(case.arm == index for case in found):
                unreached.append((index, self._why_unreached(index, arm)))
            cases += found
        cases += self._rest(cases)
        reached = sorted({case.arm for case in cases if case.arm is not None})
        left = tuple(one for one in unreached if one[0] not in reached)
        return cases, Coverage(self._route, tuple(reached), left)

    def _match_cases(self, index: int, arm: Arm, match: Match | None) -> Iterator[Case]:
        call = self._reaching(index, match)
        if call is None:
            return
        words = "everything" if match is None else _described(match)
        yield self._case(call, words, arm.at if match is None else match.at)
        for condition in _conditions(match) if match else ():
            for missed, other in condition.missed(call):
                if not condition.holds(other) or missed.startswith("cookie "):
                    yield self._case(other, missed, condition.at)

    def _reaching(self, index: int, match: Match | None) -> Call | None:
        """Return a call that the arm takes because of this match, None where there is none."""
        if match is None:
            candidates: Iterable[Call] = self._variants()
        else:
            candidates = _satisfying(_conditions(match), self._plain)
        for call in itertools.islice(candidates, _TRIES):
            if decide(self._route, call) == index and (match is None or holds(match, call)):
                return call
        return None

    def _variants(self) -> Iterator[Call]:
        """Yield calls for an arm without a match: plain ones, then such as others just miss."""
        yield self._plain
        yield replace(self._plain, path=f"/{_OTHER}")
        for arm in self._route.arms:
            for match in arm.matches:
                for condition in _conditions(match):
                    for _, other in condition.missed(self._plain):
                        yield other
                        yield replace(other, path=f"/{_OTHER}")

    def _rest(self, cases: list[Case]) -> list[Case]:
        """Return the case of a call that no arm takes, if one can be found and has none yet."""
        if any(case.arm is None for case in cases):
            return []
        for call in itertools.islice(self._variants(), _TRIES):
            if decide(self._route, call) is None:
                return [self._case(call, "nothing that matches", self._route.at)]
        return []

    def _why_unreached(self, index: int, arm: Arm) -> str:
        for match in arm.matches or (None,):
            calls = [self._plain] if match is None else _satisfying(_conditions(match), self._plain)
            for call in itertools.islice(calls, _TRIES):
                taken = decide(self._route, call)
                if taken is not None and taken < index:
                    before = self._route.arms[taken]
                    return f"the arm at {before.at} takes everything that it matches"
        return "no request was found that satisfies its match"

    def _case(self, call: Call, words: str, at: At) -> Case:
        index = decide(self._route, call)
        service = self._host.split(".")[0]
        shares: tuple[tuple[Destination, float], ...] = ()
        status = 200
        if index is not None:
            shares = _shares(self._route.arms[index])
        elif self._route.gateways is None:
            shares = ((Destination(self._host, (), ""), 1.0),)
        else:
            status = 404
        goal = _goal(shares, service) if status == 200 else str(status)
        return Case(
            id=f"{service}: {words} -> {goal}",
            title=f"{words} goes to {goal}" if status == 200 else f"{words} is answered {status}",
            call=call,
            shares=shares,
            status=status,
            arm=index,
            at=at,
            route=self._route.name,
        )


def _satisfying(conditions: list[_Condition], call: Call) -> Iterator[Call]:
    """Yield calls that satisfy every condition."""
    if not conditions:
        yield call
        return
    first, *rest = conditions
    for satisfied in itertools.islice(first.satisfied(call), 8):
        yield from _satisfying(rest, satisfied)


def _shares(arm: Arm) -> tuple[tuple[Destination, float], ...]:
    total = sum(target.weight for target in arm.split)
    found: dict[Destination, float] = {}
    for target in arm.split:
        one = Destination(target.host, target.labels, target.subset)
        found[one] = found.get(one, 0.0) + target.weight / total
    return tuple(found.items())


def _goal(shares: tuple[tuple[Destination, float], ...], service: str) -> str:
    def name(one: Destination) -> str:
        owner = one.host.split(".")[0]
        if owner == service:
            return one.subset or "any version"
        return f"{owner} {one.subset}".strip()

    if len(shares) == 1:
        return name(shares[0][0])
    return ", ".join(f"{name(one)} {share * 100:.4g} %" for one, share in shares)


def _described(match: Match) -> str:
    return " and ".join(condition.name for condition in _conditions(match)) or "everything"


def _unique(cases: Iterable[Case]) -> Iterator[Case]:
    """Leave out repeated calls with the same answer; tell equal ids apart by a number."""
    seen: set[tuple[Call, int | None]] = set()
    ids: dict[str, int] = {}
    for case in cases:
        if (case.call, case.arm) in seen:
            continue
        seen.add((case.call, case.arm))
        ids[case.id] = ids.get(case.id, 0) + 1
        yield case if ids[case.id] == 1 else replace(case, id=f"{case.id} ({ids[case.id]})")
