"""Translate the actions of a route to Envoy's config.

Sources: Envoy's v3 API reference (route components, HTTP fault filter) and Istio's page on
VirtualService for defaults.
"""

from __future__ import annotations

import re

from meshproof.mesh.envoy.envoy import Resource
from meshproof.mesh.envoy.matching import translate_string_match
from meshproof.rules.actions import (
    GRPC_STATUSES,
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
_REDIRECT_CODES = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}
#: Istio's default retries: only when the request cannot have reached an app (VirtualService page).
_DEFAULT_RETRY_ON = ("connect-failure", "refused-stream", "unavailable", "cancelled")
_DEFAULT_ATTEMPTS = 2
_PREVIOUS_HOSTS: Resource = {
    "name": "envoy.retry_host_predicates.previous_hosts",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3"
        ".PreviousHostsPredicate"
    },
}


def translate_extras(route: Route) -> Resource:
    """Return the config of a route beside match and action: header changes, fault, CORS."""
    filters: Resource = {}
    if route.fault is not None and (fault := _translate_fault(route.fault)):
        filters[FAULT_FILTER] = {"@type": _FAULT_TYPE, **fault}
    if route.cors is not None:
        filters[CORS_FILTER] = {"@type": f"{_CORS_TYPE}Policy", **_translate_cors(route.cors)}
    extras = translate_headers(route.headers)
    return {**extras, "typed_per_filter_config": filters} if filters else extras


def make_cors_filter() -> Resource:
    """Return the filter that applies the CORS policies of routes."""
    return {"name": CORS_FILTER, "typed_config": {"@type": _CORS_TYPE}}


def make_fault_filter(defaults: Resource | None = None) -> Resource:
    """Return the filter that injects the faults of routes, and `defaults` on every route."""
    return {"name": FAULT_FILTER, "typed_config": {"@type": _FAULT_TYPE, **(defaults or {})}}


def translate_redirect(
    rule: Redirect, match: Match | None, port: int, is_tls: bool = False
) -> Resource:
    """Return Envoy's redirect of the requests that `match` takes, where TLS may have ended.

    The requested port is that of the listener, as with istiod.
    """
    action: Resource = {"response_code": _REDIRECT_CODES[rule.code]}
    parts = (
        ("host_redirect", rule.authority),
        ("path_redirect", rule.uri),
        ("scheme_redirect", rule.scheme),
    )
    action |= {key: value for key, value in parts if value}
    if rule.prefix:
        action["prefix_rewrite"] = rule.prefix  # as it is: `/` before `/x` becomes `//x` in istiod
    redirect_port = port if rule.use_request_port else rule.port
    request_scheme = "https" if is_tls else "http"
    if redirect_port and redirect_port != _DEFAULT_PORTS[rule.scheme or request_scheme]:
        action["port_redirect"] = redirect_port
    return action


def translate_direct_response(response: DirectResponse) -> Resource:
    """Return Envoy's direct response."""
    action: Resource = {"status": response.status}
    return {**action, "body": {"inline_string": response.body}} if response.body else action


def translate_forwarding(route: Route, match: Match | None, *, keeps_pod: bool = False) -> Resource:
    """Return the config of a forwarding action without its clusters and mirrors.

    `match` is the match that took the request: a rewrite replaces its prefix. A request that
    `keeps_pod` goes to that of its key (consistentHash) with each try.
    """
    action: Resource = {
        "timeout": format_duration(route.timeout or 0.0),
        **(_translate_rewrite(route.rewrite, match) if route.rewrite else {}),
    }
    if route.retries is None or route.retries.attempts:
        action["retry_policy"] = _translate_retries(route.retries, keeps_pod=keeps_pod)
    return action


def translate_mirror(mirror: Mirror, cluster: str) -> Resource:
    """Return Envoy's mirror policy."""
    return {
        "cluster": cluster,
        "runtime_fraction": {"default_value": _format_fraction(mirror.percent)},
    }


def translate_headers(headers: Headers) -> Resource:
    """Return header changes in the fields that routes and weighted clusters share."""
    return {
        **_translate_header_changes("request", headers.request),
        **_translate_header_changes("response", headers.response),
    }


def _translate_header_changes(side: str, changes: HeaderChanges) -> Resource:
    """Return the changes to the headers of one `side`, `request` or `response`."""

    def option(name: str, value: str, append_action: str) -> Resource:
        """Return Envoy's option to set or append one header."""
        return {"header": {"key": name, "value": value}, "append_action": append_action}

    added = [option(name, value, "OVERWRITE_IF_EXISTS_OR_ADD") for name, value in changes.set]
    added += [option(name, value, "APPEND_IF_EXISTS_OR_ADD") for name, value in changes.add]
    options: Resource = {f"{side}_headers_to_add": added} if added else {}
    return options | ({f"{side}_headers_to_remove": list(changes.remove)} if changes.remove else {})


def _translate_rewrite(rewrite: Rewrite, match: Match | None) -> Resource:
    """Return Envoy's rewrite of path and host; `match` decides how the path is replaced."""
    action: Resource = {}
    if rewrite.pattern:
        action["regex_rewrite"] = {
            "pattern": {"regex": rewrite.pattern},
            "substitution": rewrite.substitution,
        }
    elif rewrite.uri and match and match.uri and match.uri.kind == "path_prefix":
        action |= _replace_prefix(match, rewrite.uri)
    elif rewrite.uri:
        action["prefix_rewrite"] = rewrite.uri  # of an exact match or a regex: the whole path
    if rewrite.authority:
        action["host_rewrite_literal"] = rewrite.authority
    return action


def _replace_prefix(match: Match | None, replacement: str) -> Resource:
    """Return the rewrite that replaces a prefix of whole path elements.

    An empty replacement would leave no slash, or two; that takes a regex.
    """
    if replacement.rstrip("/"):
        return {"prefix_rewrite": replacement.rstrip("/")}
    prefix = re.escape(match.uri.value if match and match.uri else "")
    return {"regex_rewrite": {"pattern": {"regex": f"^{prefix}/?"}, "substitution": "/"}}


def _translate_fault(fault: Fault) -> Resource:
    """Return the config of a delay and an abort; a fault for 0 % is left out."""
    config: Resource = {}
    if fault.delay_seconds and fault.delay_percent:
        config["delay"] = {
            "fixed_delay": format_duration(fault.delay_seconds),
            "percentage": _format_fraction(fault.delay_percent),
        }
    if fault.abort_status and fault.abort_percent:
        is_grpc = bool(fault.abort_grpc)
        status = GRPC_STATUSES.index(fault.abort_grpc) if is_grpc else fault.abort_status
        config["abort"] = {
            "grpc_status" if is_grpc else "http_status": status,
            "percentage": _format_fraction(fault.abort_percent),
        }
    return config


def _translate_cors(cors: Cors) -> Resource:
    """Return Envoy's CORS policy."""
    fields = {
        "allow_methods": ",".join(cors.methods),
        "allow_headers": ",".join(cors.headers),
        "expose_headers": ",".join(cors.exposed_headers),
        "max_age": "" if cors.max_age is None else str(cors.max_age),
    }
    policy: Resource = {key: value for key, value in fields.items() if value}
    if cors.allow_credentials is not None:
        policy["allow_credentials"] = cors.allow_credentials
    return {
        **policy,
        "allow_origin_string_match": [translate_string_match(origin) for origin in cors.origins],
        "forward_not_matching_preflights": cors.forwards_unmatched,
    }


def _translate_retries(retries: Retries | None, *, keeps_pod: bool) -> Resource:
    """Return Envoy's retry policy; None gives Istio's default retries.

    A further try looks for another pod, but not where a key of the request picks it, unless the
    rule says otherwise. Source: istiod, route/retry/retry.go, newRetryPolicy and ConvertPolicy
    (lines 92 and 131 of 1.31).
    """
    conditions = (retries and retries.conditions) or _DEFAULT_RETRY_ON
    statuses = [int(condition) for condition in conditions if condition.isdigit()]
    retry_on = [condition for condition in conditions if not condition.isdigit()]
    if statuses and "retriable-status-codes" not in retry_on:
        retry_on.append("retriable-status-codes")
    policy: Resource = {
        "retry_on": ",".join(retry_on),
        "num_retries": retries.attempts if retries else _DEFAULT_ATTEMPTS,
        "host_selection_retry_max_attempts": 5,
    }
    avoids_tried_pods = retries.avoids_tried_pods if retries else None
    if avoids_tried_pods or (avoids_tried_pods is None and not keeps_pod):
        policy["retry_host_predicate"] = [_PREVIOUS_HOSTS]
    if statuses:
        policy["retriable_status_codes"] = statuses
    if retries and retries.per_try_seconds:
        policy["per_try_timeout"] = format_duration(retries.per_try_seconds)
    return policy


def format_duration(seconds: float) -> str:
    """Return a duration in protobuf's JSON form."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def _format_fraction(percent: float) -> Resource:
    """Return a percentage as Envoy's fraction of a million."""
    return {"numerator": round(percent * 10_000), "denominator": "MILLION"}
