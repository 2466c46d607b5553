"""From the actions of a route to Envoy's words for them.

Sources: Envoy's v3 API reference (route components, HTTP fault filter) and Istio's page on
VirtualService for what is left open there.
"""

from __future__ import annotations

import re

from meshproof.mesh.envoy.envoy import Resource
from meshproof.mesh.envoy.matching import string_match
from meshproof.rules.actions import (
    Cors,
    DirectResponse,
    Fault,
    HeaderChanges,
    Headers,
    Redirect,
    Retries,
    Rewrite,
)
from meshproof.rules.model import Match, Mirror, Route

FAULT_FILTER = "envoy.filters.http.fault"
_FAULT_TYPE = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"
CORS_FILTER = "envoy.filters.http.cors"
_CORS_TYPE = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_CODES = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}
#: Istio's default retries: only when the request cannot have reached an app (VirtualService page).
_RETRY_ON = ("connect-failure", "refused-stream", "unavailable", "cancelled")
_ATTEMPTS = 2


def around(route: Route) -> Resource:
    """Return what a route has beside its match and its action: header changes, faults, CORS."""
    filters: Resource = {}
    if route.fault is not None and (fault := _fault(route.fault)):
        filters[FAULT_FILTER] = {"@type": _FAULT_TYPE, **fault}
    if route.cors is not None:
        filters[CORS_FILTER] = {"@type": f"{_CORS_TYPE}Policy", **_cors(route.cors)}
    found = header_changes(route.headers)
    return {**found, "typed_per_filter_config": filters} if filters else found


def cors_filter() -> Resource:
    """Return the filter that carries out the CORS policies of routes."""
    return {"name": CORS_FILTER, "typed_config": {"@type": _CORS_TYPE}}


def fault_filter(more: Resource | None = None) -> Resource:
    """Return the filter that carries out the faults of routes, and `more` for every route."""
    return {"name": FAULT_FILTER, "typed_config": {"@type": _FAULT_TYPE, **(more or {})}}


def redirect(wanted: Redirect, match: Match | None, port: int) -> Resource:
    """Return Envoy's redirect of what `match` took.

    The port that was asked is that of the listener, as with istiod.
    """
    found: Resource = {"response_code": _CODES[wanted.code]}
    parts = (
        ("host_redirect", wanted.authority),
        ("path_redirect", wanted.uri),
        ("scheme_redirect", wanted.scheme),
    )
    found |= {key: value for key, value in parts if value}
    if wanted.prefix:
        found |= _moved(match, wanted.prefix)
    named = port if wanted.use_request_port else wanted.port
    if named and named != _DEFAULT_PORTS[wanted.scheme or "http"]:
        found["port_redirect"] = named
    return found


def direct_response(wanted: DirectResponse) -> Resource:
    """Return Envoy's answer of its own."""
    found: Resource = {"status": wanted.status}
    return {**found, "body": {"inline_string": wanted.body}} if wanted.body else found


def on_the_way(route: Route, match: Match | None) -> Resource:
    """Return what an action that sends on has beside its clusters and its mirrors.

    `match` is what took the request: its prefix is what a rewrite replaces.
    """
    found: Resource = {
        "timeout": duration(route.timeout or 0.0),
        **(_rewrite(route.rewrite, match) if route.rewrite else {}),
    }
    if route.retries is None or route.retries.attempts:
        found["retry_policy"] = _retry_policy(route.retries)
    return found


def mirrored(mirror: Mirror, cluster: str) -> Resource:
    """Return Envoy's policy of a mirror."""
    return {"cluster": cluster, "runtime_fraction": {"default_value": _fraction(mirror.percent)}}


def header_changes(wanted: Headers) -> Resource:
    """Return the changes of headers in the words that routes and weighted clusters have."""
    return {**_changes("request", wanted.request), **_changes("response", wanted.response)}


def _changes(side: str, wanted: HeaderChanges) -> Resource:
    def option(name: str, value: str, how: str) -> Resource:
        return {"header": {"key": name, "value": value}, "append_action": how}

    added = [option(name, value, "OVERWRITE_IF_EXISTS_OR_ADD") for name, value in wanted.set]
    added += [option(name, value, "APPEND_IF_EXISTS_OR_ADD") for name, value in wanted.add]
    found: Resource = {f"{side}_headers_to_add": added} if added else {}
    return found | ({f"{side}_headers_to_remove": list(wanted.remove)} if wanted.remove else {})


def _rewrite(wanted: Rewrite, match: Match | None) -> Resource:
    found: Resource = {}
    if wanted.pattern:
        found["regex_rewrite"] = {
            "pattern": {"regex": wanted.pattern},
            "substitution": wanted.substitution,
        }
    elif wanted.uri and match and match.uri and match.uri.kind == "path_prefix":
        found |= _moved(match, wanted.uri)
    elif wanted.uri:
        found["prefix_rewrite"] = wanted.uri  # of an exact match or a regex: the whole path
    if wanted.authority:
        found["host_rewrite_literal"] = wanted.authority
    return found


def _moved(match: Match | None, to: str) -> Resource:
    """Return the words that put `to` in the place of a prefix of whole elements.

    A prefix that is replaced by nothing would leave no slash, or two: that takes a regex.
    """
    if to.rstrip("/"):
        return {"prefix_rewrite": to.rstrip("/")}
    prefix = re.escape(match.uri.value if match and match.uri else "")
    return {"regex_rewrite": {"pattern": {"regex": f"^{prefix}/?"}, "substitution": "/"}}


def _fault(wanted: Fault) -> Resource:
    found: Resource = {}
    if wanted.delay_seconds and wanted.delay_percent:
        found["delay"] = {
            "fixed_delay": duration(wanted.delay_seconds),
            "percentage": _fraction(wanted.delay_percent),
        }
    if wanted.abort_status and wanted.abort_percent:
        found["abort"] = {
            "http_status": wanted.abort_status,
            "percentage": _fraction(wanted.abort_percent),
        }
    return found


def _cors(wanted: Cors) -> Resource:
    words = {
        "allow_methods": ",".join(wanted.methods),
        "allow_headers": ",".join(wanted.headers),
        "expose_headers": ",".join(wanted.exposed_headers),
        "max_age": "" if wanted.max_age is None else str(wanted.max_age),
    }
    found: Resource = {key: value for key, value in words.items() if value}
    if wanted.allow_credentials is not None:
        found["allow_credentials"] = wanted.allow_credentials
    return {
        **found,
        "allow_origin_string_match": [string_match(one) for one in wanted.origins],
        "forward_not_matching_preflights": wanted.forwards_unmatched,
    }


def _retry_policy(wanted: Retries | None) -> Resource:
    words = (wanted and wanted.conditions) or _RETRY_ON
    statuses = [int(word) for word in words if word.isdigit()]
    named = [word for word in words if not word.isdigit()]
    if statuses and "retriable-status-codes" not in named:
        named.append("retriable-status-codes")
    found: Resource = {
        "retry_on": ",".join(named),
        "num_retries": wanted.attempts if wanted else _ATTEMPTS,
        "host_selection_retry_max_attempts": 5,
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3"
                    ".PreviousHostsPredicate"
                },
            }
        ],
    }
    if statuses:
        found["retriable_status_codes"] = statuses
    if wanted and wanted.per_try_seconds:
        found["per_try_timeout"] = duration(wanted.per_try_seconds)
    return found


def duration(seconds: float) -> str:
    """Return a time in protobuf's JSON form."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def _fraction(percent: float) -> Resource:
    return {"numerator": round(percent * 10_000), "denominator": "MILLION"}
