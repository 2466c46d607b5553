"""Reads the actions of a RouteRule: redirect, rewrite, fault and the like.

Source: the routing/v1alpha1 protos of Istio 0.1 to 0.7 (route_rule, http_redirect, http_fault and
the like). What they leave open follows the pilot of that time: a redirect is a 302; a retry
happens on 5xx, connect-failure and refused-stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from meshproof.documents.manifest import Value
from meshproof.rules import cors
from meshproof.rules.actions import (
    UNCHANGED,
    Fault,
    HeaderChanges,
    Headers,
    Redirect,
    Retries,
    Rewrite,
)
from meshproof.rules.common_fields import read_percent, read_seconds
from meshproof.rules.model import Mirror, Route, Target

#: The keys of a spec that this module reads. Envoy upgrades to WebSocket on every request for it.
ACTION_KEYS = (
    "appendHeaders",
    "corsPolicy",
    "httpFault",
    "httpReqRetries",
    "httpReqTimeout",
    "mirror",
    "redirect",
    "rewrite",
    "websocketUpgrade",
)
_RETRY_CONDITIONS = ("5xx", "connect-failure", "refused-stream")
#: Key -> why today's proxies do not support it.
_OVERRIDE_REASONS = {"overrideHeaderName": "Envoy lets no header of a request decide it"}
_CUSTOM_REASONS = {"custom": "it was never more than a name for config of Envoy's own"}
_DELAY_REASONS = {"exponentialDelay": "Envoy delays by a fixed time only"}
_ABORT_REASONS = {
    "grpcStatus": "the echo workloads are asked by HTTP",
    "http2Error": "Envoy aborts with a status, not with an error of HTTP/2",
}
_FORWARDING_KEYS = ("httpFault", "mirror", "rewrite", "route")


def add_actions(route: Route, spec: Value, read_target: Callable[[Value], Target]) -> Route:
    """Return the route with the actions of a rule; `read_target` reads an IstioService.

    Raises BadRules for invalid values.
    """
    mirror, upgrade = spec.get("mirror"), spec.get("websocketUpgrade")
    if upgrade is not None:
        upgrade.boolean()
    return replace(
        route,
        redirect=_read_redirect(spec),
        rewrite=_read_rewrite(spec),
        headers=_read_headers(spec),
        fault=_read_fault(spec),
        timeout=_read_timeout(spec),
        retries=_read_retries(spec),
        mirrors=(Mirror(read_target(mirror)),) if mirror else (),
        cors=cors.read_route_rule_cors(spec),
    )


def needs_route(spec: Value) -> bool:
    """Say whether a rule needs a route: not if it redirects.

    Raises BadRules for a redirect with keys that forward requests.
    """
    if spec.get("redirect") is None:
        return True
    for key in (key for key in _FORWARDING_KEYS if spec.get(key)):
        raise spec.keys[key].error(f"{spec.path}: '{key}' has no place beside 'redirect'")
    return False


def _read_uri_and_authority(value: Value) -> tuple[str, str]:
    """Return the keys uri and authority. Raises BadRules if both are missing."""
    value.check_keys("authority", "uri")
    uri, authority = value.get("uri"), value.get("authority")
    if uri is None and authority is None:
        raise value.error("at least one of authority, uri")
    return uri.text() if uri else "", authority.text() if authority else ""


def _read_redirect(spec: Value) -> Redirect | None:
    redirect = spec.get("redirect")
    return Redirect(302, *_read_uri_and_authority(redirect)) if redirect else None


def _read_rewrite(spec: Value) -> Rewrite | None:
    rewrite = spec.get("rewrite")
    return Rewrite(*_read_uri_and_authority(rewrite), at=rewrite.at) if rewrite else None


def _read_headers(spec: Value) -> Headers:
    headers = spec.get("appendHeaders")
    if headers is None:
        return UNCHANGED
    added = tuple((name.lower(), value) for name, value in headers.text_mapping().items())
    return Headers(request=HeaderChanges(add=added))


def _read_fault(spec: Value) -> Fault | None:
    value = spec.get("httpFault")
    if value is None:
        return None
    value.check_keys("abort", "delay")
    delay, abort = value.get("delay"), value.get("abort")
    fault = Fault()
    if delay is not None:
        delay.check_keys("fixedDelay", "percent", unsupported=_DELAY_REASONS | _OVERRIDE_REASONS)
        delay_seconds = read_seconds(delay.need("fixedDelay"))
        fault = replace(
            fault, delay_seconds=delay_seconds, delay_percent=_read_fault_percent(delay)
        )
    if abort is not None:
        abort.check_keys("httpStatus", "percent", unsupported=_ABORT_REASONS | _OVERRIDE_REASONS)
        status = abort.need("httpStatus").integer(200, 599)
        fault = replace(fault, abort_status=status, abort_percent=_read_fault_percent(abort))
    return fault if fault != Fault() else None


def _read_fault_percent(fault: Value) -> float:
    value = fault.get("percent")
    return read_percent(value) if value else 0.0


def _get_simple_policy(spec: Value, key: str, simple_key: str, *valid_keys: str) -> Value | None:
    """Return the simple variant of the policy under `key`, None without one.

    Raises BadRules for a `custom` variant: it was never specified.
    """
    policy = spec.get(key)
    if policy is None:
        return None
    policy.check_keys(simple_key, unsupported=_CUSTOM_REASONS)
    simple = policy.need(simple_key)
    simple.check_keys(*valid_keys, unsupported=_OVERRIDE_REASONS)
    return simple


def _read_timeout(spec: Value) -> float | None:
    timeout = _get_simple_policy(spec, "httpReqTimeout", "simpleTimeout", "timeout")
    return read_seconds(timeout.need("timeout")) if timeout else None


def _read_retries(spec: Value) -> Retries | None:
    retries = _get_simple_policy(spec, "httpReqRetries", "simpleRetry", "attempts", "perTryTimeout")
    if retries is None:
        return None
    per_try = retries.get("perTryTimeout")
    attempts = retries.need("attempts").integer(0, 2**31 - 1)
    return Retries(
        attempts, read_seconds(per_try) if per_try else 0.0, _RETRY_CONDITIONS if attempts else ()
    )
