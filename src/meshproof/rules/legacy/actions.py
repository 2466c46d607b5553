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

_RETRY_CONDITIONS = ("5xx", "connect-failure", "refused-stream")
_FORWARDING_KEYS = ("httpFault", "mirror", "rewrite", "route")


def add_actions(route: Route, spec: Value, read_target: Callable[[Value], Target]) -> Route:
    """Return the route with the actions of a rule; `read_target` reads an IstioService.

    Raises BadRules for invalid values.
    """
    mirror, upgrade = spec.get("mirror"), spec.get("websocketUpgrade")
    if upgrade is not None:
        upgrade.boolean()  # Envoy upgrades to WebSocket on every request for it
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
    delay, abort = value.get("delay"), value.get("abort")
    fault = Fault()
    if delay is not None:
        delay_seconds = read_seconds(delay.need("fixedDelay"))
        fault = replace(
            fault, delay_seconds=delay_seconds, delay_percent=_read_fault_percent(delay)
        )
    if abort is not None:
        status = abort.need("httpStatus").integer(200, 599)
        fault = replace(fault, abort_status=status, abort_percent=_read_fault_percent(abort))
    return fault if fault != Fault() else None


def _read_fault_percent(fault: Value) -> float:
    value = fault.get("percent")
    return read_percent(value) if value else 0.0


def _get_simple_policy(spec: Value, key: str, simple_key: str) -> Value | None:
    """Return the simple variant of the policy under `key`, None without a policy."""
    policy = spec.get(key)
    return policy.need(simple_key) if policy else None


def _read_timeout(spec: Value) -> float | None:
    timeout = _get_simple_policy(spec, "httpReqTimeout", "simpleTimeout")
    return read_seconds(timeout.need("timeout")) if timeout else None


def _read_retries(spec: Value) -> Retries | None:
    retries = _get_simple_policy(spec, "httpReqRetries", "simpleRetry")
    if retries is None:
        return None
    per_try = retries.get("perTryTimeout")
    attempts = retries.need("attempts").integer(0, 2**31 - 1)
    seconds = read_seconds(per_try) if per_try else 0.0
    # The limit of a try says nothing where there is no second one.
    return Retries(attempts, seconds, _RETRY_CONDITIONS) if attempts else Retries(0)
