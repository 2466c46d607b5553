"""What a RouteRule does beside its route, in the words of the model.

Source: the routing/v1alpha1 protos of Istio 0.1 to 0.7 (route_rule, http_redirect, http_fault and
the like) and, for what they leave open, the pilot of that time: a redirect is a 302, a retry is
made on 5xx, connect-failure and refused-stream.
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
from meshproof.rules.model import Mirror, Route, Target
from meshproof.rules.quantities import percent, seconds

#: The keys of a spec that are read here. Envoy upgrades to WebSocket wherever it is asked to.
KEYS = (
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
_RETRIED = ("5xx", "connect-failure", "refused-stream")
#: Key -> why no proxy of today can do it.
_OVERRIDE = {"overrideHeaderName": "Envoy lets no header of a request decide it"}
_CUSTOM = {"custom": "it was never more than a name for config of Envoy's own"}
_OTHER_DELAYS = {"exponentialDelay": "Envoy delays by a fixed time only"}
_OTHER_ABORTS = {
    "grpcStatus": "the echo workloads are asked by HTTP",
    "http2Error": "Envoy aborts with a status, not with an error of HTTP/2",
}
_ON_THE_WAY = ("httpFault", "mirror", "rewrite", "route")


def acting(route: Route, spec: Value, destination: Callable[[Value], Target]) -> Route:
    """Return the route with the actions of a rule; `destination` reads an IstioService.

    Raises BadRules for what cannot be read, or excludes each other.
    """
    mirror, upgrade = spec.get("mirror"), spec.get("websocketUpgrade")
    if upgrade is not None:
        upgrade.boolean()
    return replace(
        route,
        redirect=_redirect(spec),
        rewrite=_rewrite(spec),
        headers=_headers(spec),
        fault=_fault(spec),
        timeout=_timeout(spec),
        retries=_retries(spec),
        mirrors=(Mirror(destination(mirror)),) if mirror else (),
        cors=cors.of_route_rule(spec),
    )


def sends_on(spec: Value) -> bool:
    """Say whether a rule needs a route: one with a redirect must have none (BadRules)."""
    if spec.get("redirect") is None:
        return True
    for key in (key for key in _ON_THE_WAY if spec.get(key)):
        raise spec.keys[key].error(f"{spec.path}: '{key}' has no place beside 'redirect'")
    return False


def _place(found: Value) -> tuple[str, str]:
    """Return uri and authority. Raises BadRules when both are missing."""
    found.allow("authority", "uri")
    uri, authority = found.get("uri"), found.get("authority")
    if uri is None and authority is None:
        raise found.error("at least one of authority, uri")
    return uri.text() if uri else "", authority.text() if authority else ""


def _redirect(spec: Value) -> Redirect | None:
    found = spec.get("redirect")
    return Redirect(302, *_place(found)) if found else None


def _rewrite(spec: Value) -> Rewrite | None:
    found = spec.get("rewrite")
    return Rewrite(*_place(found), at=found.at) if found else None


def _headers(spec: Value) -> Headers:
    found = spec.get("appendHeaders")
    if found is None:
        return UNCHANGED
    added = tuple((name.lower(), value) for name, value in found.texts().items())
    return Headers(request=HeaderChanges(add=added))


def _fault(spec: Value) -> Fault | None:
    found = spec.get("httpFault")
    if found is None:
        return None
    found.allow("abort", "delay")
    delay, abort = found.get("delay"), found.get("abort")
    fault = Fault()
    if delay is not None:
        delay.allow("fixedDelay", "percent", unsupported=_OTHER_DELAYS | _OVERRIDE)
        wait = seconds(delay.need("fixedDelay"))
        fault = replace(fault, delay_seconds=wait, delay_percent=_percent(delay))
    if abort is not None:
        abort.allow("httpStatus", "percent", unsupported=_OTHER_ABORTS | _OVERRIDE)
        status = abort.need("httpStatus").integer(200, 599)
        fault = replace(fault, abort_status=status, abort_percent=_percent(abort))
    return fault if fault != Fault() else None


def _percent(fault: Value) -> float:
    found = fault.get("percent")
    return percent(found) if found else 0.0


def _simple(spec: Value, key: str, name: str, *valid: str) -> Value | None:
    """Return what stands under `key` as its simple kind; `custom` ones were never specified."""
    found = spec.get(key)
    if found is None:
        return None
    found.allow(name, unsupported=_CUSTOM)
    simple = found.need(name)
    simple.allow(*valid, unsupported=_OVERRIDE)
    return simple


def _timeout(spec: Value) -> float | None:
    found = _simple(spec, "httpReqTimeout", "simpleTimeout", "timeout")
    return seconds(found.need("timeout")) if found else None


def _retries(spec: Value) -> Retries | None:
    found = _simple(spec, "httpReqRetries", "simpleRetry", "attempts", "perTryTimeout")
    if found is None:
        return None
    each = found.get("perTryTimeout")
    attempts = found.need("attempts").integer(0, 2**31 - 1)
    return Retries(attempts, seconds(each) if each else 0.0, _RETRIED if attempts else ())
