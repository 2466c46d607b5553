"""Converts what a RouteRule does beside routing to the keys of a VirtualService's route.

Source: routing/v1alpha1/route_rule.proto of Istio 0.2 to 0.8 and Istio's page on VirtualService.
"""

from __future__ import annotations

from meshproof.convert.nodes import Node, copy_value, make_mapping, make_scalar
from meshproof.convert.notes import Notes
from meshproof.documents.manifest import Value

#: Default timeout of Istio up to 0.8, in seconds.
OLD_SECONDS = 15.0
OLD_TIMEOUT = f"{OLD_SECONDS:g}s"
#: Conditions of a retry then; today's default leaves out responses of 500 and above.
OLD_RETRY_ON = "5xx,connect-failure,refused-stream"


def convert_redirect(value: Value | None) -> Node | None:
    """Return the redirect with status 302, the old default; a VirtualService's default is 301."""
    if value is None:
        return None
    node = copy_value(value)
    node.put("redirectCode", make_scalar(302))
    return node


def convert_rewrite(value: Value | None) -> Node | None:
    """Return the rewrite, whose keys and meaning are the same."""
    return copy_value(value) if value is not None else None


def put_policies(spec: Value, route: Node, notes: Notes) -> None:
    """Put timeout, retries, fault, corsPolicy and headers into a route; note what has no key."""
    route.put("timeout", _convert_timeout(spec.get("httpReqTimeout"), route, notes))
    route.put("retries", _convert_retries(spec.get("httpReqRetries"), route, notes))
    route.put("fault", _convert_fault(spec, route, notes))
    route.put("corsPolicy", _convert_cors(spec.get("corsPolicy")))
    headers = spec.get("appendHeaders")
    if headers is not None and headers.mapping():
        route.put("headers", make_mapping(headers, request=make_mapping(add=copy_value(headers))))
    tcp_fault, upgrade = spec.get("l4Fault"), spec.get("websocketUpgrade")
    if tcp_fault is not None:
        notes.add_unconverted(
            tcp_fault, "a VirtualService has no faults of TCP", route, spec.keys.get("l4Fault")
        )
    if upgrade is not None:
        reason = "is not needed any more: upgrades pass in every route"
        notes.add_hint(upgrade.at, f"{upgrade.path} {reason}")


def put_old_defaults(route: Node, is_enabled: bool) -> None:
    """Put the old default timeout and retries into a route that has none."""
    if is_enabled and isinstance(route.content, dict):
        if "timeout" not in route.content:
            route.put("timeout", make_scalar(OLD_TIMEOUT))
        if "retries" not in route.content:
            route.put("retries", make_mapping(attempts=make_scalar(0)))


def _convert_timeout(value: Value | None, route: Node, notes: Notes) -> Node | None:
    simple = _get_simple_policy(value, "simpleTimeout", route, notes)
    if simple is None or value is None:
        return None
    timeout = simple.get("timeout")
    _note_override_header(simple, route, notes)
    if timeout is None:
        return make_scalar(OLD_TIMEOUT, simple, value)
    return make_scalar(timeout.text(), timeout, simple, value)


def _convert_retries(value: Value | None, route: Node, notes: Notes) -> Node | None:
    simple = _get_simple_policy(value, "simpleRetry", route, notes)
    if simple is None or value is None:
        return None
    _note_override_header(simple, route, notes)
    attempts, per_try_timeout = simple.get("attempts"), simple.get("perTryTimeout")
    count = attempts.integer(0, 2**31 - 1) if attempts is not None else 0
    return make_mapping(
        simple,
        value,
        attempts=make_scalar(count, *([attempts] if attempts is not None else [])),
        # Without attempts it says nothing, and a VirtualService with it is refused.
        perTryTimeout=copy_value(per_try_timeout) if per_try_timeout and count else None,
        retryOn=make_scalar(OLD_RETRY_ON) if count else None,
    )


def _get_simple_policy(value: Value | None, key: str, route: Node, notes: Notes) -> Value | None:
    """Return the simple form of a policy; note a custom one, which cannot be converted."""
    if value is None:
        return None
    custom = value.get("custom")
    if custom is not None:
        notes.add_unconverted(
            custom, "a VirtualService has no custom policies", route, value.keys.get("custom")
        )
    return value.get(key)


def _note_override_header(value: Value, route: Node, notes: Notes) -> None:
    """Note a request header that would override the policy."""
    header = value.get("overrideHeaderName")
    if header is not None:
        notes.add_unconverted(
            header, "a VirtualService cannot let a header of the request decide", route
        )


def _convert_fault(spec: Value, route: Node, notes: Notes) -> Node | None:
    value = spec.get("httpFault")
    if value is None:
        return None
    if spec.get("redirect") is not None:
        notes.add_unconverted(
            value, "a route that redirects cannot have a fault", route, spec.keys["httpFault"]
        )
        return None
    fault = make_mapping(
        value,
        delay=_convert_delay(value.get("delay"), route, notes),
        abort=_convert_abort(value.get("abort"), route, notes),
    )
    return fault if fault.content else None


def _convert_delay(value: Value | None, route: Node, notes: Notes) -> Node | None:
    if value is None:
        return None
    _note_override_header(value, route, notes)
    fixed, exponential = value.get("fixedDelay"), value.get("exponentialDelay")
    if exponential is not None:
        notes.add_unconverted(exponential, "Envoy has fixed delays only", route)
    if fixed is None:
        return None
    return make_mapping(value, percentage=_convert_percentage(value), fixedDelay=copy_value(fixed))


def _convert_abort(value: Value | None, route: Node, notes: Notes) -> Node | None:
    if value is None:
        return None
    _note_override_header(value, route, notes)
    status, grpc, http2 = (value.get(key) for key in ("httpStatus", "grpcStatus", "http2Error"))
    if http2 is not None:
        notes.add_unconverted(http2, "Envoy aborts with a status of HTTP or gRPC only", route)
    if status is not None and status.integer(100, 599) < 200:
        notes.add_unconverted(status, "Envoy aborts with a status of 200 to 599", route)
        status = None
    if status is None and grpc is None:
        return None
    return make_mapping(
        value,
        percentage=_convert_percentage(value),
        httpStatus=copy_value(status) if status is not None else None,
        grpcStatus=copy_value(grpc) if grpc is not None else None,
    )


def _convert_percentage(value: Value) -> Node:
    """Return the share of requests; the old default was 0, a VirtualService's is all."""
    percent = value.get("percent")
    return make_mapping(value=copy_value(percent) if percent is not None else make_scalar(0))


def _convert_cors(value: Value | None) -> Node | None:
    """Return the CORS policy; its origins become conditions on strings."""
    if value is None:
        return None
    policy = Node({}, (value,))
    for key, entry in value.mapping().items():
        if entry.content is None:
            continue
        if key == "allowOrigin":
            origins = [make_mapping(origin, exact=copy_value(origin)) for origin in entry.items()]
            policy.put("allowOrigins", Node(list(origins), (entry,)))
        else:
            policy.put(key, copy_value(entry))
    return policy
