"""Reads CORS policies: which pages of other origins may ask, and what they may see.

Sources: Istio reference, VirtualService (CorsPolicy); for RouteRules, routing/v1alpha1/cors.proto
of Istio 0.1 to 0.7, whose origins are whole strings.
"""

from __future__ import annotations

from meshproof.documents.manifest import Value
from meshproof.rules.actions import Cors
from meshproof.rules.conditions import string_match
from meshproof.rules.model import StringMatch
from meshproof.rules.quantities import seconds

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*")
_SAME = ("allowCredentials", "allowHeaders", "allowMethods", "exposeHeaders", "maxAge")


def of_virtual_service(route: Value) -> Cors | None:
    """Return the corsPolicy of a route. Raises BadRules for what cannot be read."""
    found = route.get("corsPolicy")
    if found is None:
        return None
    found.allow(*_SAME, "allowOrigin", "allowOrigins", "unmatchedPreflights")
    origins, unmatched = found.get("allowOrigins"), found.get("unmatchedPreflights")
    words = unmatched.choice("UNSPECIFIED", "FORWARD", "IGNORE") if unmatched else ""
    if origins is None:
        return _policy(found, _whole(found), words != "IGNORE")
    return _policy(found, tuple(map(string_match, origins.items())), words != "IGNORE")


def of_route_rule(spec: Value) -> Cors | None:
    """Return the corsPolicy of a RouteRule. Raises BadRules for what cannot be read."""
    found = spec.get("corsPolicy")
    if found is None:
        return None
    found.allow(*_SAME, "allowOrigin")
    return _policy(found, _whole(found), forwards_unmatched=True)


def _whole(found: Value) -> tuple[StringMatch, ...]:
    origins = found.get("allowOrigin")
    listed = origins.items() if origins else []
    return tuple(StringMatch("exact", one.filled(), one.at) for one in listed)


def _policy(found: Value, origins: tuple[StringMatch, ...], forward: bool) -> Cors:
    credentials, age, methods = (
        found.get(key) for key in ("allowCredentials", "maxAge", "allowMethods")
    )
    kept = seconds(age) if age else None
    if age is not None and kept is not None and kept != int(kept):
        raise age.error("a duration of whole seconds")
    return Cors(
        origins=origins,
        methods=tuple(one.choice(*_METHODS) for one in methods.items()) if methods else (),
        headers=_names(found, "allowHeaders"),
        exposed_headers=_names(found, "exposeHeaders"),
        max_age=int(kept) if kept is not None else None,
        allow_credentials=credentials.boolean() if credentials else None,
        forwards_unmatched=forward,
    )


def _names(found: Value, key: str) -> tuple[str, ...]:
    names = found.get(key)
    return tuple(one.filled() for one in names.items()) if names else ()
