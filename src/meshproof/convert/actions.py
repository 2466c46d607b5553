"""What a RouteRule does beside routing -> the same keys of a VirtualService's route.

Source: routing/v1alpha1/route_rule.proto of Istio 0.2 to 0.8 and Istio's page on VirtualService.
"""

from __future__ import annotations

from meshproof.convert.nodes import Node, copied, mapping, scalar
from meshproof.convert.notes import Notes
from meshproof.documents.manifest import Value

#: Istio up to 0.8 ended a request after this time where no rule said otherwise.
OLD_SECONDS = 15.0
OLD_TIMEOUT = f"{OLD_SECONDS:g}s"
#: What a retry was made for then; today's default leaves out answers of 500 and above.
OLD_RETRY_ON = "5xx,connect-failure,refused-stream"


def redirect(value: Value | None) -> Node | None:
    """Return the redirect; it was a 302, where a VirtualService says 301 unless told otherwise."""
    if value is None:
        return None
    found = copied(value)
    found.put("redirectCode", scalar(302))
    return found


def rewrite(value: Value | None) -> Node | None:
    """Return the rewrite, which has the same keys and meaning."""
    return copied(value) if value is not None else None


def put_rest(spec: Value, route: Node, notes: Notes) -> None:
    """Put timeout, retries, fault, corsPolicy and headers into a route; name what has no key."""
    route.put("timeout", _timeout(spec.get("httpReqTimeout"), route, notes))
    route.put("retries", _retries(spec.get("httpReqRetries"), route, notes))
    route.put("fault", _fault(spec, route, notes))
    route.put("corsPolicy", _cors(spec.get("corsPolicy")))
    appended = spec.get("appendHeaders")
    if appended is not None and appended.mapping():
        route.put("headers", mapping(appended, request=mapping(add=copied(appended))))
    faulted, upgraded = spec.get("l4Fault"), spec.get("websocketUpgrade")
    if faulted is not None:
        notes.lost(
            faulted, "a VirtualService has no faults of TCP", route, spec.keys.get("l4Fault")
        )
    if upgraded is not None:
        said = "is not needed any more: upgrades pass in every route"
        notes.known(upgraded.at, f"{upgraded.path} {said}")


def put_old_defaults(route: Node, wanted: bool) -> None:
    """Put the timeout and the retries of the old mesh into a route that has none."""
    if wanted and isinstance(route.content, dict):
        if "timeout" not in route.content:
            route.put("timeout", scalar(OLD_TIMEOUT))
        if "retries" not in route.content:
            route.put("retries", mapping(attempts=scalar(0)))


def _timeout(value: Value | None, route: Node, notes: Notes) -> Node | None:
    simple = _simple(value, "simpleTimeout", route, notes)
    if simple is None or value is None:
        return None
    found = simple.get("timeout")
    _lose_header(simple, route, notes)
    if found is None:
        return scalar(OLD_TIMEOUT, simple, value)
    return scalar(found.text(), found, simple, value)


def _retries(value: Value | None, route: Node, notes: Notes) -> Node | None:
    simple = _simple(value, "simpleRetry", route, notes)
    if simple is None or value is None:
        return None
    _lose_header(simple, route, notes)
    attempts, each = simple.get("attempts"), simple.get("perTryTimeout")
    count = attempts.integer(0, 2**31 - 1) if attempts is not None else 0
    return mapping(
        simple,
        value,
        attempts=scalar(count, *([attempts] if attempts is not None else [])),
        perTryTimeout=copied(each) if each is not None else None,
        retryOn=scalar(OLD_RETRY_ON) if count else None,
    )


def _simple(value: Value | None, key: str, route: Node, notes: Notes) -> Value | None:
    """Return the simple form of a policy; the custom one was never more than a name for Envoy's."""
    if value is None:
        return None
    custom = value.get("custom")
    if custom is not None:
        notes.lost(
            custom, "a VirtualService has no custom policies", route, value.keys.get("custom")
        )
    return value.get(key)


def _lose_header(value: Value, route: Node, notes: Notes) -> None:
    header = value.get("overrideHeaderName")
    if header is not None:
        notes.lost(header, "a VirtualService cannot let a header of the request decide", route)


def _fault(spec: Value, route: Node, notes: Notes) -> Node | None:
    value = spec.get("httpFault")
    if value is None:
        return None
    if spec.get("redirect") is not None:
        notes.lost(
            value, "a route that redirects cannot have a fault", route, spec.keys["httpFault"]
        )
        return None
    found = mapping(
        value,
        delay=_delay(value.get("delay"), route, notes),
        abort=_abort(value.get("abort"), route, notes),
    )
    return found if found.content else None


def _delay(value: Value | None, route: Node, notes: Notes) -> Node | None:
    if value is None:
        return None
    _lose_header(value, route, notes)
    fixed, exponential = value.get("fixedDelay"), value.get("exponentialDelay")
    if exponential is not None:
        notes.lost(exponential, "Envoy has fixed delays only", route)
    if fixed is None:
        return None
    return mapping(value, percentage=_percentage(value), fixedDelay=copied(fixed))


def _abort(value: Value | None, route: Node, notes: Notes) -> Node | None:
    if value is None:
        return None
    _lose_header(value, route, notes)
    status, grpc, http2 = (value.get(key) for key in ("httpStatus", "grpcStatus", "http2Error"))
    if http2 is not None:
        notes.lost(http2, "Envoy aborts with a status of HTTP or gRPC only", route)
    if status is not None and status.integer(100, 599) < 200:
        notes.lost(status, "Envoy aborts with a status of 200 to 599", route)
        status = None
    if status is None and grpc is None:
        return None
    return mapping(
        value,
        percentage=_percentage(value),
        httpStatus=copied(status) if status is not None else None,
        grpcStatus=copied(grpc) if grpc is not None else None,
    )


def _percentage(value: Value) -> Node:
    """Return the share of requests; without one it was 0, where a VirtualService means all."""
    percent = value.get("percent")
    return mapping(value=copied(percent) if percent is not None else scalar(0))


def _cors(value: Value | None) -> Node | None:
    """Return the policy: the same keys, but origins are conditions on strings today."""
    if value is None:
        return None
    found = Node({}, (value,))
    for key, one in value.mapping().items():
        if one.content is None:
            continue
        if key == "allowOrigin":
            origins = [mapping(each, exact=copied(each)) for each in one.items()]
            found.put("allowOrigins", Node(list(origins), (one,)))
        else:
            found.put(key, copied(one))
    return found
