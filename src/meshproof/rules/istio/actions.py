"""What a route of a VirtualService does beside its split: redirect, rewrite, fault and the like.

Source: Istio reference, VirtualService (HTTPRoute and what it holds).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from meshproof.base.errors import nearest
from meshproof.documents.manifest import At, Value
from meshproof.rules import cors
from meshproof.rules.actions import (
    DirectResponse,
    Fault,
    HeaderChanges,
    Headers,
    Redirect,
    Retries,
    Rewrite,
)
from meshproof.rules.model import Mirror, Route, Target
from meshproof.rules.quantities import percentage, seconds

#: The keys of a route that are read here.
KEYS = (
    "corsPolicy",
    "directResponse",
    "fault",
    "headers",
    "mirror",
    "mirrorPercent",
    "mirrorPercentage",
    "mirrors",
    "redirect",
    "retries",
    "rewrite",
    "timeout",
)
#: What makes no sense where nothing is sent on; Istio refuses it too.
_ON_THE_WAY = ("fault", "mirror", "mirrors", "rewrite", "route")
_ANSWERS = ("redirect", "directResponse")
#: Statuses of a redirect.
CODES = (301, 302, 303, 307, 308)
#: Conditions of a retry (Envoy's docs, x-envoy-retry-on and x-envoy-retry-grpc-on).
_RETRY_ON = (
    "5xx",
    "cancelled",
    "connect-failure",
    "deadline-exceeded",
    "envoy-ratelimited",
    "gateway-error",
    "http3-post-connect-failure",
    "internal",
    "refused-stream",
    "reset",
    "reset-before-request",
    "resource-exhausted",
    "retriable-4xx",
    "retriable-headers",
    "retriable-status-codes",
    "unavailable",
)

Destination = Callable[[Value], Target]


def acting(route: Route, value: Value, destination: Destination) -> Route:
    """Return the route with the actions that stand beside its destinations.

    `destination` reads a Destination. Raises BadRules for actions that exclude each other.
    """
    return replace(
        route,
        redirect=_redirect(value),
        direct_response=_direct(value),
        rewrite=_rewrite(value),
        headers=headers(value),
        fault=_fault(value),
        timeout=_seconds(value, "timeout"),
        retries=_retries(value),
        mirrors=_mirrors(value, destination),
        cors=cors.of_virtual_service(value),
    )


def sends_on(route: Value) -> bool:
    """Say whether a route needs destinations: one that answers itself or delegates must have none.

    Raises BadRules for one that answers itself and has what only makes sense on the way.
    """
    ends = next((key for key in (*_ANSWERS, "delegate") if route.get(key)), None)
    if ends is None:
        return True
    others = (*_ANSWERS, "route") if ends == "delegate" else (*_ANSWERS, *_ON_THE_WAY)
    for key in (key for key in others if key != ends and route.get(key)):
        raise route.keys[key].error(f"{route.path}: '{key}' has no place beside '{ends}'")
    return False


def _seconds(parent: Value, key: str) -> float | None:
    found = parent.get(key)
    return seconds(found) if found else None


def _text(parent: Value, key: str) -> str:
    found = parent.get(key)
    return found.text() if found else ""


def _redirect(route: Value) -> Redirect | None:
    found = route.get("redirect")
    if found is None:
        return None
    found.allow("authority", "derivePort", "port", "redirectCode", "scheme", "uri")
    if not set(found.mapping()) - {"redirectCode"}:
        raise found.error("at least one of authority, port, scheme, uri")
    code, port, derive = (found.get(key) for key in ("redirectCode", "port", "derivePort"))
    if port and derive:
        raise derive.at.error(f"{found.path}: 'derivePort' has no place beside 'port'")
    how = derive.choice("FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT") if derive else ""
    if code is not None and code.content not in CODES:
        raise code.error(f"one of {', '.join(map(str, CODES))}")
    scheme = found.get("scheme")
    return Redirect(
        code=code.integer(301, 308) if code else 301,
        uri=_text(found, "uri"),
        authority=_text(found, "authority"),
        scheme=scheme.choice("http", "https") if scheme else "",
        port=port.integer(1, 65535) if port else None,
        use_request_port=how == "FROM_REQUEST_PORT",
    )


def _direct(route: Value) -> DirectResponse | None:
    found = route.get("directResponse")
    if found is None:
        return None
    found.allow("body", "status")
    body = found.get("body")
    if body is not None:
        body.allow("string", unsupported=("bytes",))
    return DirectResponse(
        found.need("status").integer(200, 599), _text(body, "string") if body else ""
    )


def _rewrite(route: Value) -> Rewrite | None:
    found = route.get("rewrite")
    if found is None:
        return None
    found.allow("authority", "uri", "uriRegexRewrite")
    regex = found.get("uriRegexRewrite")
    rewrite = Rewrite(_text(found, "uri"), _text(found, "authority"), at=found.at)
    if regex is not None:
        regex.allow("match", "rewrite")
        if rewrite.uri:
            raise regex.at.error(f"{found.path}: 'uriRegexRewrite' has no place beside 'uri'")
        match = regex.need("match")
        rewrite = replace(
            rewrite, pattern=match.text(), substitution=_text(regex, "rewrite"), at=match.at
        )
    if not (rewrite.uri or rewrite.authority or rewrite.pattern):
        raise found.error("at least one of authority, uri, uriRegexRewrite")
    return rewrite


def headers(parent: Value) -> Headers:
    """Return the header changes of a route or of a destination.

    Raises BadRules for a header that is changed twice: which comes first is not specified.
    """
    found = parent.get("headers")
    if found is None:
        return Headers()
    found.allow("request", "response")
    return Headers(_changes(found.get("request")), _changes(found.get("response")))


def check_headers(route: Route) -> None:
    """Raise BadRules for a header that both a route and one of its destinations change.

    Whose change is the last one depends on the number of destinations.
    """
    for target in route.split:
        for of_route, own in (
            (route.headers.request, target.headers.request),
            (route.headers.response, target.headers.response),
        ):
            for name in set(of_route.names) & set(own.names):
                raise (target.at or route.at).error(
                    f"'{name}' is changed here and for the whole route at {route.at}; which change "
                    "is the last one is not specified"
                )


def _changes(found: Value | None) -> HeaderChanges:
    if found is None:
        return HeaderChanges()
    found.allow("add", "remove", "set")
    seen: set[str] = set()
    removed = found.get("remove")
    pairs = {key: _pairs(found, key, seen) for key in ("set", "add")}
    names = [(one.text(), one.at) for one in removed.items()] if removed else []
    for name, at in names:
        check_header(name, at, seen, found.path)
    return HeaderChanges(pairs["set"], pairs["add"], tuple(name.lower() for name, _ in names))


def _pairs(found: Value, key: str, seen: set[str]) -> tuple[tuple[str, str], ...]:
    given = found.get(key)
    if given is None:
        return ()
    for name in given.mapping():
        check_header(name, given.keys[name], seen, given.path)
    return tuple((name.lower(), value) for name, value in given.texts().items())


def check_header(name: str, at: At, seen: set[str], path: str) -> None:
    """Note a changed header in `seen`. Raises BadRules for a second change, and for no header."""
    lower = name.lower()
    if lower.startswith(":") or lower == "host":
        raise at.error(f"{path}: '{name}' is no header; rewrite.authority changes the host")
    if lower in seen:
        raise at.error(f"{path}: '{name}' is changed twice; which comes first is not specified")
    seen.add(lower)


def _fault(route: Value) -> Fault | None:
    found = route.get("fault")
    if found is None:
        return None
    found.allow("abort", "delay")
    delay, abort = found.get("delay"), found.get("abort")
    fault = Fault()
    if delay is not None:
        delay.allow("fixedDelay", "percent", "percentage", unsupported=("exponentialDelay",))
        fault = replace(
            fault,
            delay_seconds=seconds(delay.need("fixedDelay")),
            delay_percent=percentage(delay, "percentage", "percent", 0.0),
        )
    if abort is not None:
        abort.allow("httpStatus", "percentage", unsupported=("grpcStatus", "http2Error"))
        fault = replace(
            fault,
            abort_status=abort.need("httpStatus").integer(200, 599),
            abort_percent=percentage(abort, "percentage", "percent", 0.0),
        )
    return fault


def _retries(route: Value) -> Retries | None:
    found = route.get("retries")
    if found is None:
        return None
    passed_over = ("retryIgnorePreviousHosts", "retryRemoteLocalities")
    found.allow("attempts", "perTryTimeout", "retryOn", *passed_over, unsupported=("backoff",))
    attempts, on = found.get("attempts"), found.get("retryOn")
    return Retries(
        attempts=attempts.integer(0, 2**31 - 1) if attempts else 0,
        per_try_seconds=_seconds(found, "perTryTimeout") or 0.0,
        conditions=_retried(on) if on else (),
    )


def _retried(on: Value) -> tuple[str, ...]:
    """Return the conditions of a retry: words of Envoy and statuses."""
    words = tuple(word.strip() for word in on.text().split(","))
    for word in words:
        if word not in _RETRY_ON and not (word.isdigit() and 200 <= int(word) <= 599):
            hint = nearest(word, _RETRY_ON)
            raise on.at.error(f"{on.path}: '{word}' is no condition of a retry, nor a status{hint}")
    return words


def _mirrors(route: Value, destination: Destination) -> tuple[Mirror, ...]:
    one, several = route.get("mirror"), route.get("mirrors")
    if one is not None and several is not None:
        raise several.at.error(f"{route.path}: 'mirrors' has no place beside 'mirror'")
    if one is not None:
        share = percentage(route, "mirrorPercentage", "mirrorPercent", 100.0)
        return (Mirror(destination(one), share),)
    found = []
    for entry in several.items() if several else ():
        entry.allow("destination", "percentage")
        target = destination(entry.need("destination"))
        found.append(Mirror(target, percentage(entry, "percentage", "", 100.0)))
    return tuple(found)
