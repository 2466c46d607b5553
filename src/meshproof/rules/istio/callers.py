"""Says at which gateways and in which sidecars a match holds for its callers.

Source: istiod, sourceMatchHTTP (pilot/pkg/networking/core/route). A match that names gateways holds
at these for every caller: its sourceLabels and sourceNamespace are ignored. In any other match they
are compared with the proxy that has the route: in a sidecar the caller, at a gateway the gateway.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from meshproof.base.names import MESH, ROOT_NAMESPACE
from meshproof.rules.model import Match, Route

#: The labels of the pods of Istio's usual gateway, which is in the root namespace.
_GATEWAY_LABELS = {("app", "istio-ingressgateway"), ("istio", "ingressgateway")}


def place_callers(route: Route, gateways: tuple[str, ...]) -> Route:
    """Return a route of a table at `gateways` with conditions on callers for sidecars alone."""
    matches = tuple(placed for match in route.matches for placed in _place_match(match, gateways))
    return replace(route, matches=matches)


def _place_match(match: Match, gateways: Iterable[str]) -> Iterator[Match]:
    """Yield the match for sidecars and, where its callers include the gateway itself, for those."""
    anybody = replace(match, source=(), source_namespace="")
    ingress_names = tuple(name for name in gateways if name != MESH)
    if match.gateways or match == anybody:
        yield anybody
        return
    if not ingress_names:
        yield match
        return
    yield replace(match, gateways=(MESH,))
    if set(match.source) <= _GATEWAY_LABELS and match.source_namespace in ("", ROOT_NAMESPACE):
        yield replace(anybody, gateways=ingress_names)
