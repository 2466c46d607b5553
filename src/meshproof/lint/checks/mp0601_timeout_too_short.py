"""Timeout that is too short for the retries."""

from __future__ import annotations

import re
from collections.abc import Iterator

from meshproof.documents.manifest import Value
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project, find_values, read_text
from meshproof.lint.model.route import Route, RouteTable
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0601"

#: Where the whole timeout, that of a try and the number of retries stand.
_PLACES = {
    "VirtualService": (("timeout",), ("retries", "perTryTimeout"), ("retries", "attempts")),
    "RouteRule": (
        ("httpReqTimeout", "simpleTimeout", "timeout"),
        ("httpReqRetries", "simpleRetry", "perTryTimeout"),
        ("httpReqRetries", "simpleRetry", "attempts"),
    ),
    "HTTPRoute": (("timeouts", "request"), ("timeouts", "backendRequest"), ("retry", "attempts")),
}
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)")
_LEGACY_TIMEOUT = 15.0


def check(project: Project) -> Iterator[Hit]:
    """Report each timeout that leaves no time for all tries."""
    for table in read_route_tables(project):
        for route in table.routes_of("http") if table.dialect in _PLACES else ():
            yield from _hits(table, route)


def _hits(table: RouteTable, route: Route) -> Iterator[Hit]:
    whole, single, count = (_only(find_values(route.value, *way)) for way in _PLACES[table.dialect])
    attempts = count.content if count is not None else 0
    if single is None or isinstance(attempts, bool) or not isinstance(attempts, int):
        return
    each = seconds(read_text(single))
    total = seconds(read_text(whole)) if whole is not None else 0.0
    if whole is None and table.dialect == "RouteRule":
        total = _LEGACY_TIMEOUT
    needed = each * (attempts + 1)
    if attempts < 1 or not (each and total) or total >= needed:
        return
    fits, place = int(total / each + 1e-9), whole if whole is not None else single
    said = f"of {attempts + 1} tries of {read_text(single)} each, " + (
        f"{fits} fit into {shown(total)}" if fits else f"not even one fits into {shown(total)}"
    )
    yield Hit(place.at, f"{route.name}: {said}", f"timeout: {shown(needed)}, or shorter tries")


def _only(found: list[Value]) -> Value | None:
    return found[0] if found else None


def seconds(duration: str) -> float:
    """Return a duration such as 1m30s in seconds, 0 for what is none."""
    parts = _PART.findall(duration)
    if "".join(number + unit for number, unit in parts) != duration:
        return 0.0
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def shown(duration: float) -> str:
    """Return seconds as a duration."""
    return f"{duration:g}s" if duration >= 1 else f"{duration * 1000:g}ms"
