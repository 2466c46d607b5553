"""Timeout that is too short for the retries."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.durations import parse_duration
from meshproof.documents.lookup import read_number, read_text
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import Route, RouteTable
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0601"

#: Seconds that a RouteRule without a timeout has.
_LEGACY_TIMEOUT = 15.0


def check(project: Project) -> Iterator[Hit]:
    """Report each timeout that leaves no time for all tries."""
    for table in read_route_tables(project):
        for route in table.routes_of("http"):
            yield from _check_retries(table, route)


def _check_retries(table: RouteTable, route: Route) -> Iterator[Hit]:
    """Report the timeout of a route that ends before all tries can."""
    limits = route.actions.limits
    timeout, try_timeout, attempts = (
        limits.timeout,
        limits.try_timeout,
        read_number(limits.attempts),
    )
    if try_timeout is None:
        return
    try_seconds = parse_duration(read_text(try_timeout)) or 0.0
    timeout_seconds = parse_duration(read_text(timeout)) or 0.0
    if timeout is None and table.dialect == "RouteRule":
        timeout_seconds = _LEGACY_TIMEOUT
    needed_seconds = try_seconds * (attempts + 1)
    if attempts < 1 or not (try_seconds and timeout_seconds) or timeout_seconds >= needed_seconds:
        return
    fitting_tries = int(timeout_seconds / try_seconds + 1e-9)
    value = timeout or try_timeout
    message = f"of {attempts + 1} tries of {read_text(try_timeout)} each, " + (
        f"{fitting_tries} fit into {_format_seconds(timeout_seconds)}"
        if fitting_tries
        else f"not even one fits into {_format_seconds(timeout_seconds)}"
    )
    yield Hit(
        value.at,
        f"{route.name}: {message}",
        f"timeout: {_format_seconds(needed_seconds)}, or shorter tries",
    )


def _format_seconds(duration: float) -> str:
    """Return seconds as a duration."""
    return f"{duration:g}s" if duration >= 1 else f"{duration * 1000:g}ms"
