"""Says at which gateways and in which sidecars a match holds for its callers.

Source: istiod, sourceMatchHTTP (pilot/pkg/networking/core/route). A match that names gateways holds
at these for every caller: its sourceLabels and sourceNamespace are ignored. In any other match they
are compared with the proxy that has the route: in a sidecar the caller, at a gateway the gateway.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from meshproof.base.names import MESH
from meshproof.rules.model import INGRESS, Match, Proxy, Route

#: Name of a gateway -> the proxies that serve it.
Proxies = Mapping[str, tuple[Proxy, ...]]


def place_callers(route: Route, gateways: tuple[str, ...], proxies: Proxies) -> Route:
    """Return a route of a table at `gateways` with conditions on callers for sidecars alone."""
    matches = tuple(
        placed for match in route.matches for placed in _place_match(match, gateways, proxies)
    )
    return replace(route, matches=matches)


def _place_match(match: Match, gateways: Iterable[str], proxies: Proxies) -> Iterator[Match]:
    """Yield the match for sidecars, and for the gateways that are among its callers themselves."""
    anybody = replace(match, source=(), source_namespace="")
    ingress_names = tuple(name for name in gateways if name != MESH)
    if match.gateways or match == anybody:
        yield anybody
        return
    if not ingress_names:
        yield match
        return
    yield replace(match, gateways=(MESH,))
    calling_names = tuple(
        name
        for name in ingress_names
        if all(_is_caller(proxy, match) for proxy in proxies.get(name, (INGRESS,)))
    )
    if calling_names:
        yield replace(anybody, gateways=calling_names)


def _is_caller(proxy: Proxy, match: Match) -> bool:
    """Say whether a proxy has the labels and the namespace of a match's callers."""
    has_labels = set(match.source) <= set(proxy.labels)
    return has_labels and match.source_namespace in ("", proxy.namespace)
