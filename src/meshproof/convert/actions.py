"""Converts what a RouteRule does beside routing to the keys of a VirtualService's route.

Source: routing/v1alpha1/route_rule.proto of Istio 0.2 to 0.8 and Istio's page on VirtualService.
"""

from __future__ import annotations

from meshproof.convert.nodes import Node, copy_value, list_holders, make_mapping, make_scalar
from meshproof.convert.notes import Notes
from meshproof.documents.lookup import find_values
from meshproof.documents.manifest import Value
from meshproof.rules.written import (
    WrittenActions,
    WrittenCors,
    WrittenFault,
    WrittenLimits,
    WrittenRedirect,
)

#: Default timeout of Istio up to 0.8, in seconds.
OLD_SECONDS = 15.0
OLD_TIMEOUT = f"{OLD_SECONDS:g}s"
#: Conditions of a retry then; today's default leaves out responses of 500 and above.
OLD_RETRY_ON = "5xx,connect-failure,refused-stream"
_OVERRIDDEN = "a VirtualService cannot let a header of the request decide"


#: What of a policy has no key in a VirtualService: its path in the spec -> why.
_POLICY_REASONS = {
    f"{policy}.{key}": reason
    for policy, simple in (("httpReqTimeout", "simpleTimeout"), ("httpReqRetries", "simpleRetry"))
    for key, reason in (
        ("custom", "a VirtualService has no custom policies"),
        (f"{simple}.overrideHeaderName", _OVERRIDDEN),
    )
}
_FAULT_REASONS = {
    "httpFault.delay.overrideHeaderName": _OVERRIDDEN,
    "httpFault.delay.exponentialDelay": "Envoy has fixed delays only",
    "httpFault.abort.overrideHeaderName": _OVERRIDDEN,
    "httpFault.abort.http2Error": "Envoy aborts with a status of HTTP or gRPC only",
}
_TCP_REASONS = {"l4Fault": "a VirtualService has no faults of TCP"}


def convert_redirect(redirect: WrittenRedirect) -> Node:
    """Return the redirect with status 302, the old default; a VirtualService's default is 301."""
    node = copy_value(redirect.value)
    node.put("redirectCode", make_scalar(302))
    return node


def put_policies(spec: Value, written: WrittenActions, route: Node, notes: Notes) -> None:
    """Put timeout, retries, fault, corsPolicy and headers into a route; note what has no key."""
    _note_unconverted(spec, _POLICY_REASONS, route, notes)
    route.put("timeout", _convert_timeout(spec, written.limits))
    route.put("retries", _convert_retries(spec, written.limits))
    if written.redirect is None:
        _note_unconverted(spec, _FAULT_REASONS, route, notes)
        route.put("fault", _convert_faults(spec, written.faults, route, notes))
    else:
        reasons = {"httpFault": "a route that redirects cannot have a fault"}
        _note_unconverted(spec, reasons, route, notes)
    route.put("corsPolicy", _convert_cors(written.cors))
    changes = written.headers.request
    if changes is not None and changes.add:
        added = make_mapping(add=copy_value(changes.value))
        route.put("headers", make_mapping(changes.value, request=added))
    _note_unconverted(spec, _TCP_REASONS, route, notes)
    for upgrade in find_values(spec, "websocketUpgrade"):
        reason = "is not needed any more: upgrades pass in every route"
        notes.add_hint(upgrade.at, f"{upgrade.path} {reason}")


def _note_unconverted(spec: Value, reasons: dict[str, str], route: Node, notes: Notes) -> None:
    """Note each of these paths of a spec that has a value."""
    for path, reason in reasons.items():
        *parents, key = path.split(".")
        for parent in find_values(spec, *parents):
            value = parent.get(key)
            if value is not None:
                at = parent.keys.get(key) if isinstance(value.content, dict) else None
                notes.add_unconverted(value, reason, route, at)


def put_old_defaults(route: Node, is_enabled: bool) -> None:
    """Put the old default timeout and retries into a route that has none."""
    if is_enabled and isinstance(route.content, dict):
        if "timeout" not in route.content:
            route.put("timeout", make_scalar(OLD_TIMEOUT))
        if "retries" not in route.content:
            route.put("retries", make_mapping(attempts=make_scalar(0)))


def _convert_timeout(spec: Value, limits: WrittenLimits) -> Node | None:
    """Return the timeout; a policy without one means the old default."""
    if limits.timeouts is None:
        return None
    text = OLD_TIMEOUT if limits.timeout is None else limits.timeout.text()
    return make_scalar(text, *list_holders(spec, limits.timeout or limits.timeouts))


def _convert_retries(spec: Value, limits: WrittenLimits) -> Node | None:
    attempts, try_timeout = limits.attempts, limits.try_timeout
    if limits.retries is None:
        return None
    count = attempts.integer(0, 2**31 - 1) if attempts is not None else 0
    return make_mapping(
        *list_holders(spec, limits.retries),
        attempts=make_scalar(count, *([attempts] if attempts is not None else [])),
        # Without attempts it says nothing, and a VirtualService with it is refused.
        perTryTimeout=copy_value(try_timeout) if try_timeout is not None and count else None,
        retryOn=make_scalar(OLD_RETRY_ON) if count else None,
    )


def _convert_faults(
    spec: Value, faults: tuple[WrittenFault, ...], route: Node, notes: Notes
) -> Node | None:
    node = Node({})
    for fault in faults:
        node.origins += tuple(list_holders(spec, fault.value)[1:])
        node.put(fault.kind, _convert_fault(fault, route, notes))
    return node if node.content else None


def _convert_fault(fault: WrittenFault, route: Node, notes: Notes) -> Node | None:
    """Return a delay or an abort, None if nothing of it can be said today."""
    status, grpc_status = fault.status, fault.grpc_status
    if status is not None and status.integer(100, 599) < 200:
        notes.add_unconverted(status, "Envoy aborts with a status of 200 to 599", route)
        status = None
    effects = {"fixedDelay": fault.duration, "httpStatus": status, "grpcStatus": grpc_status}
    if not any(effects.values()):
        return None
    copies = {key: copy_value(value) for key, value in effects.items() if value is not None}
    return make_mapping(fault.value, percentage=_convert_percentage(fault), **copies)


def _convert_percentage(fault: WrittenFault) -> Node:
    """Return the share of requests; the old default was 0, a VirtualService's is all."""
    share = fault.share
    return make_mapping(value=copy_value(share) if share is not None else make_scalar(0))


def _convert_cors(written: WrittenCors | None) -> Node | None:
    """Return the CORS policy; its origins become conditions on strings."""
    if written is None:
        return None
    policy = copy_value(written.value)
    if isinstance(policy.content, dict) and (old := policy.content.pop("allowOrigin", None)):
        origins = [
            make_mapping(origin, exact=copy_value(origin)) for origin in written.exact_origins
        ]
        policy.put("allowOrigins", Node(list(origins), old.origins))
    return policy
