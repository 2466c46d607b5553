"""Reads CORS policies.

Sources: Istio reference, VirtualService (CorsPolicy); for RouteRules, routing/v1alpha1/cors.proto
of Istio 0.1 to 0.7, whose origins are whole strings; for HTTPRoutes, Gateway API reference
(HTTPCORSFilter) and istiod, createCorsFilter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from meshproof.documents.manifest import Value
from meshproof.rules.actions import Cors
from meshproof.rules.common_fields import read_seconds, read_string_match
from meshproof.rules.model import StringMatch
from meshproof.rules.written import WrittenCors

#: How long a browser keeps an answer to a preflight, if an HTTPRoute does not say (in its CRD).
_DEFAULT_AGE = 5
#: Origins as Gateway API has them.
_ORIGIN = re.compile(r"\*|https?://(?:(?:\*\.)?[a-zA-Z0-9.-]+|\*)(?::\d{1,5})?")
#: What `*` takes: istiod asks for the form of an origin.
_ANY_ORIGIN = r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/\s?#]+"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*")


def read_virtual_service_cors(policy: WrittenCors | None) -> Cors | None:
    """Return the corsPolicy of a route of a VirtualService. Raises BadRules if it is invalid."""
    if policy is None:
        return None
    unmatched = policy.unmatched_preflights
    choice = unmatched.choice("UNSPECIFIED", "FORWARD", "IGNORE") if unmatched else ""
    if policy.origins is None:
        return _read_policy(policy, _read_exact_origins(policy), choice != "IGNORE")
    return _read_policy(policy, tuple(map(read_string_match, policy.origins)), choice != "IGNORE")


def read_route_rule_cors(policy: WrittenCors | None) -> Cors | None:
    """Return the corsPolicy of a RouteRule. Raises BadRules if it is invalid."""
    if policy is None:
        return None
    return _read_policy(policy, _read_exact_origins(policy), forwards_unmatched=True)


def read_cors_filter(policy: WrittenCors | None) -> Cors | None:
    """Return the CORS filter of an HTTPRoute. Raises BadRules if it is invalid.

    A preflight from a foreign origin does not reach a workload.
    """
    if policy is None:
        return None
    credentials, age = policy.allow_credentials, policy.max_age
    return Cors(
        origins=tuple(map(_read_origin, policy.origins or ())),
        methods=tuple(method.choice(*_METHODS) for method in policy.methods),
        headers=_read_names(policy.headers),
        exposed_headers=_read_names(policy.exposed_headers),
        max_age=age.integer(1, 2**31 - 1) if age else _DEFAULT_AGE,
        allow_credentials=True if credentials and credentials.boolean() else None,
        forwards_unmatched=False,
    )


def _read_origin(value: Value) -> StringMatch:
    """Return the condition of an origin, in which `*` stands for any characters."""
    text = value.text()
    if not _ORIGIN.fullmatch(text):
        raise value.error("an origin as https://shop.example or https://*.example")
    if text == "*":
        return StringMatch("regex", _ANY_ORIGIN, value.at)
    if "*" not in text:
        return StringMatch("exact", text, value.at)
    start, _, end = text.partition("*")
    if not end:
        return StringMatch("prefix", start, value.at)
    return StringMatch("regex", f"{re.escape(start)}.*{re.escape(end)}", value.at)


def _read_exact_origins(policy: WrittenCors) -> tuple[StringMatch, ...]:
    """Return the origins under the deprecated key `allowOrigin`, which are whole strings."""
    return tuple(
        StringMatch("exact", origin.non_empty_text(), origin.at) for origin in policy.exact_origins
    )


def _read_policy(
    policy: WrittenCors, origins: tuple[StringMatch, ...], forwards_unmatched: bool
) -> Cors:
    """Return a policy with the fields that both dialects write alike."""
    credentials, age = policy.allow_credentials, policy.max_age
    max_age = read_seconds(age) if age else None
    if age is not None and max_age is not None and max_age != int(max_age):
        raise age.error("a duration of whole seconds")
    return Cors(
        origins=origins,
        methods=tuple(method.choice(*_METHODS) for method in policy.methods),
        headers=_read_names(policy.headers),
        exposed_headers=_read_names(policy.exposed_headers),
        max_age=int(max_age) if max_age is not None else None,
        allow_credentials=credentials.boolean() if credentials else None,
        forwards_unmatched=forwards_unmatched,
    )


def _read_names(names: Iterable[Value]) -> tuple[str, ...]:
    return tuple(name.non_empty_text() for name in names)
