"""Match that never holds."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import MESH, is_host_within
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model import regexes
from meshproof.lint.model.conditions import Condition
from meshproof.lint.model.route import Match, Route, RouteTable, find_contradiction
from meshproof.lint.model.route_tables import read_route_tables
from meshproof.rules.written import Reference

CODE = "MP0302"

_METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")


def check(project: Project) -> Iterator[Hit]:
    """Report each match that no request can satisfy."""
    for table in read_route_tables(project):
        for route in table.routes:
            for match in route.matches:
                if match.is_fully_read:
                    yield from _check_match(table, route, match)


def _check_match(table: RouteTable, route: Route, match: Match) -> Iterator[Hit]:
    """Report two conditions of a match that exclude each other, or one that never holds."""
    pair = find_contradiction(match)
    if pair is not None:
        first, second = pair
        at = max(first.at, second.at)
        yield Hit(
            at, f"{route.name}: no request is both '{first}' and '{second}'", "drop one of them"
        )
        return
    for condition in match.conditions:
        for reason, repair in _explain_condition(table, condition):
            yield Hit(condition.at, f"{route.name}: never matches: {reason}", repair)
            return


def _explain_condition(table: RouteTable, condition: Condition) -> Iterator[tuple[str, str]]:
    """Yield why no request satisfies a condition, and the repair."""
    if condition.negated:
        return
    if condition.part == "uri":
        yield from _explain_path(condition)
    elif condition.part == "gateway":
        yield from _explain_gateway(table, condition)
    elif condition.match_type == "exact":
        yield from _explain_value(table, condition)


def _explain_value(table: RouteTable, condition: Condition) -> Iterator[tuple[str, str]]:
    part, value = condition.part, condition.text
    if part == "method" and value not in _METHODS and value.upper() in _METHODS:
        yield "methods are written in capitals", value.upper()
    elif part == "scheme" and value not in ("http", "https"):
        yield f"there is no scheme '{value}'", value.lower().rstrip(":/")
    elif part == "authority":
        yield from _explain_authority(table, condition)
    elif part.startswith("header ") and value != value.strip():
        yield "spaces around a header's value are not sent", value.strip()


def _explain_path(condition: Condition) -> Iterator[tuple[str, str]]:
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


def _explain_gateway(table: RouteTable, condition: Condition) -> Iterator[tuple[str, str]]:
    bound_gateways = {gateway.full_name for gateway in table.gateways} or {MESH}
    if condition.values.isdisjoint(bound_gateways):
        gateway_names = ", ".join(sorted(condition.values))
        yield (
            f"the rule is not bound to {gateway_names}",
            f"add it to spec.gateways: {gateway_names}",
        )


def _explain_authority(table: RouteTable, condition: Condition) -> Iterator[tuple[str, str]]:
    authority = condition.text.partition(":")[0]
    if table.dialect != "VirtualService" or not table.hosts:
        return
    if not any(_names_host(authority, host) for host in table.hosts):
        hosts = ", ".join(host.source_text for host in table.hosts)
        yield (
            f"'{authority}' is no host of this rule ({hosts})",
            f"add it to spec.hosts: {authority}",
        )


def _names_host(authority: str, host: Reference) -> bool:
    """Say whether an authority is a host's name, short or full, or one that a wildcard covers."""
    if authority in (host.source_text, host.full_name):
        return True
    if is_host_within(authority, host.source_text):
        return True
    is_in_cluster = host.full_name.endswith(".svc.cluster.local")
    return is_in_cluster and host.full_name.startswith(f"{authority}.")
