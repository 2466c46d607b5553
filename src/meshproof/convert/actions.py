"""What a RouteRule does beside routing -> the same keys of a VirtualService's arm.

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


def put_rest(spec: Value, arm: Node, notes: Notes) -> None:
    """Put timeout, retries, fault, corsPolicy and headers into an arm; name what has no key."""
    arm.put("timeout", _timeout(spec.get("httpReqTimeout"), arm, notes))
    arm.put("retries", _retries(spec.get("httpReqRetries"), arm, notes))
    arm.put("fault", _fault(spec, arm, notes))
    arm.put("corsPolicy", _cors(spec.get("corsPolicy")))
    appended = spec.get("appendHeaders")
    if appended is not None and appended.mapping():
        arm.put("headers", mapping(appended, request=mapping(add=copied(appended))))
    faulted, upgraded = spec.get("l4Fault"), spec.get("websocketUpgrade")
    if faulted is not None:
        notes.lost(faulted, "a VirtualService has no faults of TCP", arm, spec.keys.get("l4Fault"))
    if upgraded is not None:
        said = "is not needed any more: upgrades pass in every route"
        notes.known(upgraded.at, f"{upgraded.path} {said}")


def put_old_defaults(arm: Node, wanted: bool) -> None:
    """Put the timeout and the retries of the old mesh into an arm that has none."""
    if wanted and isinstance(arm.content, dict):
        if "timeout" not in arm.content:
            arm.put("timeout", scalar(OLD_TIMEOUT))
        if "retries" not in arm.content:
            arm.put("retries", mapping(attempts=scalar(0)))


def _timeout(value: Value | None, arm: Node, notes: Notes) -> Node | None:
    simple = _simple(value, "simpleTimeout", arm, notes)
    if simple is None or value is None:
        return None
    found = simple.get("timeout")
    _lose_header(simple, arm, notes)
    if found is None:
        return scalar(OLD_TIMEOUT, simple, value)
    return scalar(found.text(), found, simple, value)


def _retries(value: Value | None, arm: Node, notes: Notes) -> Node | None:
    simple = _simple(value, "simpleRetry", arm, notes)
    if simple is None or value is None:
        return None
    _lose_header(simple, arm, notes)
    attempts, each = simple.get("attempts"), simple.get("perTryTimeout")
    count = attempts.integer(0, 2**31 - 1) if attempts is not None else 0
    return mapping(
        simple,
        value,
        attempts=scalar(count, *([attempts] if attempts is not None else [])),
        perTryTimeout=copied(each) if each is not None else None,
        retryOn=scalar(OLD_RETRY_ON) if count else None,
    )


def _simple(value: Value | None, key: str, arm: Node, notes: Notes) -> Value | None:
    """Return the simple form of a policy; the custom one was never more than a name for Envoy's."""
    if value is None:
        return None
    custom = value.get("custom")
    if custom is not None:
        notes.lost(custom, "a VirtualService has no custom policies", arm, value.keys.get("custom"))
    return value.get(key)


def _lose_header(value: Value, arm: Node, notes: Notes) -> None:
    header = value.get("overrideHeaderName")
    if header is not None:
        notes.lost(header, "a VirtualService cannot let a header of the request decide", arm)


def _fault(spec: Value, arm: Node, notes: Notes) -> Node | None:
    value = spec.get("httpFault")
    if value is None:
        return None
    if spec.get("redirect") is not None:
        notes.lost(value, "an arm that redirects cannot have a fault", arm, spec.keys["httpFault"])
        return None
    found = mapping(
        value,
        delay=_delay(value.get("delay"), arm, notes),
        abort=_abort(value.get("abort"), arm, notes),
    )
    return found if found.content else None


def _delay(value: Value | None, arm: Node, notes: Notes) -> Node | None:
    if value is None:
        return None
    _lose_header(value, arm, notes)
    fixed, exponential = value.get("fixedDelay"), value.get("exponentialDelay")
    if exponential is not None:
        notes.lost(exponential, "Envoy has fixed delays only", arm)
    if fixed is None:
        return None
    return mapping(value, percentage=_percentage(value), fixedDelay=copied(fixed))


def _abort(value: Value | None, arm: Node, notes: Notes) -> Node | None:
    if value is None:
        return None
    _lose_header(value, arm, notes)
    status, grpc, http2 = (value.get(key) for key in ("httpStatus", "grpcStatus", "http2Error"))
    if http2 is not None:
        notes.lost(http2, "Envoy aborts with a status of HTTP or gRPC only", arm)
    if status is not None and status.integer(100, 599) < 200:
        notes.lost(status, "Envoy aborts with a status of 200 to 599", arm)
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
