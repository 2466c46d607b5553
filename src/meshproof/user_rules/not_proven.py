"""What a green run of a user's rules does not prove, with its place and the reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from meshproof.base.errors import pluralize
from meshproof.oracle.conditions import METHODS
from meshproof.oracle.timeouts_and_retries import STATUSES
from meshproof.run.remark import Remark

if TYPE_CHECKING:
    from meshproof.rules.model import Route
    from meshproof.user_rules.loading import UserRules


def list_not_proven(user_rules: UserRules) -> list[str]:
    """Return a line for each part of the rules that no case proves, and for what none looks for."""
    lines = (
        *list_unchecked_orders(user_rules),
        *map(str, user_rules.unproven),
        *_list_unproven_actions(user_rules),
        *_list_unasked(user_rules),
    )
    return list(dict.fromkeys(lines))


def list_unchecked_orders(user_rules: UserRules) -> Iterator[str]:
    """Yield a line for each table with pairs of routes whose order no case shows."""
    for coverage in user_rules.plan.coverage:
        if coverage.unchecked_pairs:
            pairs = pluralize(coverage.unchecked_pairs, "pair")
            yield (
                f"{coverage.table.at}: not proven: the order of {pairs} of routes of "
                f"{coverage.table.name} for requests that both match"
            )


def list_unreached(user_rules: UserRules) -> Iterator[Remark]:
    """Yield a remark for each route that no case reaches, with the reason."""
    for coverage in user_rules.plan.coverage:
        for index, reason in coverage.unreached:
            route = coverage.table.routes[index]
            name = f"{name_route(index, route)} of {coverage.table.name}"
            yield Remark(route.at.place, f"{name} is unreached: {reason}")


def name_route(index: int, route: Route) -> str:
    """Return `route 1`, with the name of the route if it has one."""
    return f"route {index + 1} '{route.name}'" if route.name else f"route {index + 1}"


def _list_unproven_actions(user_rules: UserRules) -> Iterator[str]:
    """Yield a line for each part of a route that its cases leave unproven."""
    for case in user_rules.plan.cases:
        if case.route_index is not None:
            # The cases of `convert --prove` are of other rules than those that are served.
            route = user_rules.plan.coverage[case.table_index].table.routes[case.route_index]
            yield from (f"{route.at}: not proven: {part}" for part in case.answer.unproven)


def _list_unasked(user_rules: UserRules) -> Iterator[str]:
    """Yield what no case looks for: nothing in the rules asks for it."""
    from meshproof.verdict.phrases import join_names  # late: the judge is many modules

    routes = [route for table in user_rules.rules.tables for route in table.routes if route.split]
    for part, count in (
        ("a timeout", sum(not route.timeout for route in routes)),
        ("retries", sum(route.retries is None for route in routes)),
        ("mirrored copies", sum(not route.mirrors for route in routes)),
    ):
        if count:
            yield f"not looked for: {part} on {pluralize(count, 'route')} without"
    if by_method := sum(_names_method(route) for route in routes):
        place = f"on {pluralize(by_method, 'route')}"
        yield f"not looked for: {place} methods other than {join_names(METHODS)}"
    if retried := sum(bool(route.retries and route.retries.attempts) for route in routes):
        place = f"on {pluralize(retried, 'route')}"
        yield f"not looked for: {place} retries of statuses other than {join_names(STATUSES)}"
    if limited := sum(_has_time_limit(route) for route in routes):
        place = f"on {pluralize(limited, 'route')}"
        yield f"not looked for: {place} a timeout that comes up to half as long again and 1 s later"
    yield "not looked for: delays of less than 1 s, and delays of some requests only"


def _names_method(route: Route) -> bool:
    """Say whether a match of a route names a method."""
    return any(match.method is not None for match in route.matches)


def _has_time_limit(route: Route) -> bool:
    """Say whether a route has a timeout, for a request or for each try."""
    return bool(route.timeout or (route.retries and route.retries.per_try_seconds))
