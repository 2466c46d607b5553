"""Match that never holds."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import MESH
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model import regexes
from meshproof.lint.model.conditions import Condition, is_host_within
from meshproof.lint.model.route import Match, Reference, Route, RouteTable, find_contradiction
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0302"

_METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")


def check(project: Project) -> Iterator[Hit]:
    """Report each match that no request can satisfy."""
    for table in read_route_tables(project):
        for route in table.routes:
            for match in (one for one in route.matches if one.is_fully_read):
                yield from _hits(table, route, match)


def _hits(table: RouteTable, route: Route, match: Match) -> Iterator[Hit]:
    pair = find_contradiction(match)
    if pair is not None:
        one, other = pair
        at = max(one.at, other.at)
        yield Hit(at, f"{route.name}: no request is both '{one}' and '{other}'", "drop one of them")
        return
    for condition in match.conditions:
        for said, repair in _never(table, condition):
            yield Hit(condition.at, f"{route.name}: never matches: {said}", repair)
            return


def _never(table: RouteTable, condition: Condition) -> Iterator[tuple[str, str]]:
    """Yield why no request satisfies a condition, and the repair."""
    if condition.negated:
        return
    if condition.part == "uri":
        yield from _path(condition)
    elif condition.part == "gateway":
        yield from _gateway(table, condition)
    elif condition.match_type == "exact":
        yield from _value(table, condition)


def _value(table: RouteTable, condition: Condition) -> Iterator[tuple[str, str]]:
    part, wanted = condition.part, condition.text
    if part == "method" and wanted not in _METHODS and wanted.upper() in _METHODS:
        yield "methods are written in capitals", wanted.upper()
    elif part == "scheme" and wanted not in ("http", "https"):
        yield f"there is no scheme '{wanted}'", wanted.lower().rstrip(":/")
    elif part == "authority":
        yield from _authority(table, condition)
    elif part.startswith("header ") and wanted != wanted.strip():
        yield "spaces around a header's value are not sent", wanted.strip()


def _path(condition: Condition) -> Iterator[tuple[str, str]]:
    is_regex = condition.match_type == "regex"
    start = regexes.find_leading_text(condition.text) if is_regex else condition.text
    if "?" in start or "#" in start:
        mark = "?" if "?" in start else "#"
        repair = "queryParams" if mark == "?" else ""
        yield f"'{mark}' and what follows is not part of the path", repair
    elif "://" in start:
        yield "a path holds no scheme and no host", "authority for the host, uri for the path"
    elif start and not start.startswith("/") and start != "*":
        yield "a path begins with '/'", f".*{condition.text}" if is_regex else f"/{start}"


def _gateway(table: RouteTable, condition: Condition) -> Iterator[tuple[str, str]]:
    held = {one.full_name for one in table.gateways} or {MESH}
    if condition.values.isdisjoint(held):
        named = ", ".join(sorted(condition.values))
        yield f"the rule is not bound to {named}", f"add it to spec.gateways: {named}"


def _authority(table: RouteTable, condition: Condition) -> Iterator[tuple[str, str]]:
    wanted = condition.text.partition(":")[0]
    if table.dialect != "VirtualService" or not table.hosts:
        return
    if not any(_is_name(wanted, host) for host in table.hosts):
        hosts = ", ".join(host.source_text for host in table.hosts)
        yield f"'{wanted}' is no host of this rule ({hosts})", f"add it to spec.hosts: {wanted}"


def _is_name(wanted: str, host: Reference) -> bool:
    if wanted in (host.source_text, host.full_name) or is_host_within(wanted, host.source_text):
        return True
    return host.full_name.startswith(f"{wanted}.") and host.full_name.endswith(".svc.cluster.local")
