"""Which of several rules for one host comes first, as istiod decides it.

In the mesh one rule has a host alone: rules for the caller's namespace come before those for all,
then the oldest. A rule without a route for the caller has no say. At a gateway the routes of all
rules are joined, the oldest rule first. There a route that takes every request ends the routes of
its own rule, and stands behind those of all others.
Source: istiod, SelectVirtualServices, BuildSidecarOutboundVirtualHosts, VirtualServicesForGateway,
BuildHTTPRoutesForVirtualService and SortVHostRoutes.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshproof.oracle.case import is_hidden_from_caller
from meshproof.oracle.conditions import Call
from meshproof.rules.model import Gateway, Match, RouteTable


@dataclass(frozen=True)
class Taker:
    """A table that takes a call at a gateway, and its match that does; None for no match.

    `namespace` is that of the gateway's proxy.
    """

    table: RouteTable
    match: Match | None
    gateway: Gateway
    namespace: str


def is_catch_all(match: Match | None) -> bool:
    """Say whether a match takes every request by what istiod looks at: its path and headers.

    Callers, gateways and ports do not count: a proxy gets no routes for others. A prefix that is
    empty takes every request, too, but istiod looks for `/`.
    """
    if match is None:
        return True
    takes_every_path = not match.has_empty_prefix and (
        match.uri is None or (match.uri.kind, match.uri.value) in (("prefix", "/"), ("regex", ".*"))
    )
    conditions = (match.method, match.authority, match.scheme)
    pairs = (*match.headers, *match.without_headers, *match.query)
    return takes_every_path and not any(conditions) and not pairs


def owns_mesh_host(table: RouteTable, rival: RouteTable, call: Call) -> bool | None:
    """Say whether a table decides a call in the mesh rather than `rival`; None if nothing says."""
    if not rival.is_visible_from(call.namespace) or is_hidden_from_caller(rival, call):
        return True
    if not table.is_visible_from(call.namespace) or is_hidden_from_caller(table, call):
        return False
    return _comes_before(table, rival, call.namespace)


def comes_first_at_gateway(taker: Taker, rival: Taker) -> bool | None:
    """Say whether a match comes before that of another table; None if nothing says."""
    if is_catch_all(taker.match) != is_catch_all(rival.match):
        return not is_catch_all(taker.match)
    gateways = taker.gateway, rival.gateway
    if gateways[0].name != gateways[1].name:
        if not all(gateway.created for gateway in gateways):
            return None
        first, second = ((made.created, *reversed(made.name.split("/"))) for made in gateways)
        return first < second
    return _comes_before(taker.table, rival.table, taker.namespace)


def _comes_before(table: RouteTable, rival: RouteTable, namespace: str) -> bool | None:
    """Say whether proxies of a namespace get a table before another one."""
    ranks = _rank_export(table, namespace), _rank_export(rival, namespace)
    if ranks[0] != ranks[1]:
        return ranks[0] < ranks[1]
    if not table.created or not rival.created:
        return None
    if table.created != rival.created:
        return table.created < rival.created
    if table.is_gateway_api or rival.is_gateway_api:
        return None  # istiod has another name for it
    return (table.name, table.namespace) < (rival.name, rival.namespace)


def _rank_export(table: RouteTable, namespace: str) -> int:
    """Return the rank of a table for a proxy of a namespace: the lower comes first."""
    if table.export_to:
        return 0 if table.namespace == namespace else 1
    return 2 if table.is_gateway_api and table.namespace == namespace else 3
