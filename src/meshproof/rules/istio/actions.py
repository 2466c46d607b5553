"""Reads the actions of a VirtualService's route: redirect, rewrite, fault and the like.

Source: Istio reference, VirtualService (HTTPRoute and what it holds).
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace

from meshproof.base.errors import suggest_nearest
from meshproof.documents.manifest import At, Value
from meshproof.rules import cors
from meshproof.rules.actions import (
    GRPC_STATUSES,
    DirectResponse,
    Fault,
    HeaderChanges,
    Headers,
    Redirect,
    Retries,
    Rewrite,
)
from meshproof.rules.common_fields import read_percentage, read_seconds
from meshproof.rules.model import Mirror, Route, Target
from meshproof.rules.written import (
    WrittenActions,
    WrittenDirectResponse,
    WrittenFault,
    WrittenHeader,
    WrittenHeaderChanges,
    WrittenHeaders,
    WrittenLimits,
    WrittenMirror,
    WrittenRedirect,
    WrittenRewrite,
)

#: What means nothing without a try (istiod, validateHTTPRetry).
KEYS_OF_TRIES = ("perTryTimeout", "retryOn", "retryRemoteLocalities")
#: Keys that make no sense in a route that forwards nothing. Istio rejects them, too.
_FORWARDING_KEYS = ("fault", "mirror", "mirrors", "rewrite", "route")
_ANSWER_KEYS = ("redirect", "directResponse")
#: Statuses of a redirect.
REDIRECT_CODES = (301, 302, 303, 307, 308)
#: Conditions of a retry (Envoy's docs, x-envoy-retry-on and x-envoy-retry-grpc-on).
RETRY_CONDITIONS = (
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

_MILLISECOND = 0.001
#: Statuses that have a name (Go, net/http).
_KNOWN_STATUSES = (
    *(range(100, 104), range(200, 209), range(226, 227), range(300, 306), range(307, 309)),
    *(range(400, 419), range(421, 427), range(428, 430), range(431, 432), range(451, 452)),
    *(range(500, 509), range(510, 512)),
)

#: Names by which a header change means the authority (istiod, isAuthorityHeader).
_HOST_HEADERS = (":authority", "host")
TargetReader = Callable[[Value], Target]


def add_actions(
    route: Route, value: Value, written: WrittenActions, read_target: TargetReader
) -> Route:
    """Return the route with its actions as they are written in `value`.

    `read_target` reads the Destination of a mirror. Raises BadRules for actions that exclude each
    other.
    """
    written.check_form()
    limits = written.limits
    return replace(
        route,
        redirect=_read_redirect(written.redirect, value),
        direct_response=_read_direct_response(written.direct_response),
        rewrite=_add_host(_read_rewrite(written.rewrite), written, value),
        headers=read_headers(written.headers),
        fault=_read_fault(written.faults),
        timeout=_read_whole_milliseconds(limits.timeout) if limits.timeout else None,
        retries=_read_retries(limits),
        mirrors=_read_mirrors(written.mirrors, value, read_target),
        cors=cors.read_virtual_service_cors(written.cors),
    )


def needs_destinations(route: Value) -> bool:
    """Say whether a route needs destinations: not if the proxy answers, or if it delegates.

    Raises BadRules for keys that exclude each other.
    """
    ending_key = next((key for key in (*_ANSWER_KEYS, "delegate") if route.get(key)), None)
    if ending_key is None:
        return True
    excluded_keys = (
        (*_ANSWER_KEYS, "route") if ending_key == "delegate" else (*_ANSWER_KEYS, *_FORWARDING_KEYS)
    )
    for key in (key for key in excluded_keys if key != ending_key and route.get(key)):
        raise route.keys[key].error(f"'{key}' has no place beside '{ending_key}'", path=route.path)
    return False


def _read_whole_milliseconds(value: Value) -> float:
    """Return a duration in seconds. Raises BadRules for 0 and for parts of a millisecond.

    Istio refuses them (ValidateDuration in pkg/config/validation/agent).
    """
    seconds = read_seconds(value)
    if seconds < _MILLISECOND or round(seconds * 1e9) % 1_000_000:
        raise value.at.error(
            f"'{value.text()}' is not 1ms or more, in whole milliseconds; Istio refuses it",
            path=value.path,
        )
    return seconds


def _read_text(value: Value | None) -> str:
    """Return a text, "" without one."""
    return value.text() if value else ""


def _read_redirect(redirect: WrittenRedirect | None, route: Value) -> Redirect | None:
    if redirect is None:
        return None
    code, port, derive, scheme = (
        redirect.code,
        redirect.port,
        redirect.derived_port,
        redirect.scheme,
    )
    if not any((redirect.path, redirect.prefix, redirect.host, scheme, port, derive)):
        raise redirect.value.lacks("at least one of authority, port, prefixRewrite, scheme, uri")
    if port and derive:
        raise derive.at.error("'derivePort' has no place beside 'port'", path=redirect.value.path)
    derived_port = derive.choice("FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT") if derive else ""
    if code is not None and code.content not in REDIRECT_CODES:
        raise code.error(f"one of {', '.join(map(str, REDIRECT_CODES))}")
    return Redirect(
        code=code.integer(301, 308) if code else 301,
        uri=_read_text(redirect.path),
        authority=_read_text(redirect.host),
        scheme=scheme.choice("http", "https") if scheme else "",
        port=port.integer(1, 65535) if port else None,
        use_request_port=derived_port == "FROM_REQUEST_PORT",
        prefix=_read_redirect_prefix(redirect, route),
    )


def _read_redirect_prefix(redirect: WrittenRedirect, route: Value) -> str:
    """Return what replaces the prefix that a match takes, "" for nothing."""
    prefix, path = redirect.prefix, redirect.value.path
    if prefix is None or not prefix.text():
        return ""
    if _read_text(redirect.path):
        raise prefix.at.error("'prefixRewrite' has no place beside 'uri'", path=path)
    for match in route.entries("match"):
        uri = match.get("uri")
        if uri is not None and uri.get("prefix") is None:
            raise uri.at.error(
                f"{path}.prefixRewrite needs a prefix; Istio refuses it", path=uri.path
            )
    return prefix.text()


def _read_direct_response(response: WrittenDirectResponse | None) -> DirectResponse | None:
    if response is None or response.status is None:
        return None
    return DirectResponse(response.status.integer(200, 599), _read_body(response))


def _read_body(response: WrittenDirectResponse) -> str:
    """Return the body of a direct response; bytes must be those of a text."""
    content = response.binary
    if content is None:
        return _read_text(response.text)
    try:
        return base64.b64decode(content.text(), validate=True).decode()
    except UnicodeDecodeError:
        raise content.at.unsupported(
            "bytes that are no text are not supported yet", path=content.path
        ) from None
    except ValueError:
        raise content.error("text in base64") from None


def _read_rewrite(written: WrittenRewrite | None) -> Rewrite | None:
    if written is None:
        return None
    rewrite = Rewrite(_read_text(written.prefix), _read_text(written.host), at=written.value.at)
    if written.regex is not None and rewrite.uri:
        raise written.regex.at.error(
            "'uriRegexRewrite' has no place beside 'uri'", path=written.value.path
        )
    if (pattern := written.pattern) is not None:
        substitution = _read_text(written.substitution)
        rewrite = replace(rewrite, pattern=pattern.text(), substitution=substitution, at=pattern.at)
    if not (rewrite.uri or rewrite.authority or rewrite.pattern):
        raise written.value.lacks("at least one of authority, uri, uriRegexRewrite")
    return rewrite


def _add_host(rewrite: Rewrite | None, written: WrittenActions, route: Value) -> Rewrite | None:
    """Return the rewrite of a route with the Host header that it sets: istiod rewrites the host.

    rewrite.authority or the header of the route wins over that of its only destination. Raises
    BadRules for the header of one of several destinations, and for a route that sets the host twice
    (istiod, validateAuthorityRewrite).
    """
    entries = written.split.entries if written.split is not None else ()
    own_headers = _list_host_headers(written.headers)
    own = own_headers[0] if own_headers else None
    has_authority = rewrite is not None and bool(rewrite.authority)
    if own is not None and (len(own_headers) > 1 or has_authority):
        raise own.at.error("the host of the route is set twice, which Istio refuses", path=own.path)
    others = [find_host_header(entry.headers) for entry in entries]
    if any(others) and len(others) > 1:
        at = next(filter(None, others)).at
        raise at.unsupported("another host for some of its destinations", path=route.path)
    authority = next(filter(None, (own, *others)), None)
    if authority is None or has_authority:
        return rewrite
    return replace(rewrite or Rewrite("", ""), authority=authority.text(), at=authority.at)


def find_host_header(headers: WrittenHeaders) -> Value | None:
    """Return the Host header that a route or destination sets or adds, None without one."""
    return next(iter(_list_host_headers(headers)), None)


def _list_host_headers(headers: WrittenHeaders) -> list[Value]:
    """Return the Host headers that a route or destination sets or adds."""
    changes = headers.request
    return [
        header.value
        for header in ((*changes.set, *changes.add) if changes is not None else ())
        if header.name.lower() in _HOST_HEADERS
    ]


def read_headers(headers: WrittenHeaders) -> Headers:
    """Return the header changes of a route or of a destination.

    Raises BadRules for a header that changes twice: the order is not specified.
    """
    request = headers.request
    if request is not None:
        set_headers, added_headers = map(_without_host, (request.set, request.add))
        request = replace(request, set=set_headers, add=added_headers)
    return Headers(read_header_changes(request), read_header_changes(headers.response))


def _without_host(headers: tuple[WrittenHeader, ...]) -> tuple[WrittenHeader, ...]:
    """Return headers without the host, which is a rewrite."""
    return tuple(header for header in headers if header.name.lower() not in _HOST_HEADERS)


def check_header_changes(route: Route) -> None:
    """Raise BadRules for a header that both a route and one of its destinations change.

    Which change comes last depends on the number of destinations.
    """
    for target in route.split:
        for route_changes, target_changes in (
            (route.headers.request, target.headers.request),
            (route.headers.response, target.headers.response),
        ):
            for name in set(route_changes.names) & set(target_changes.names):
                raise (target.at or route.at).unsupported(
                    f"'{name}' is changed here and for the whole route at {route.at}; which change "
                    "is the last one is not specified"
                )


def read_header_changes(changes: WrittenHeaderChanges | None) -> HeaderChanges:
    """Return the changes of a request's headers or of a response's."""
    if changes is None:
        return HeaderChanges()
    changed_names: set[str] = set()
    for header in (*changes.set, *changes.add):
        check_changed_header(header.name, header.at, changed_names, header.path)
    for name in changes.removed:
        check_changed_header(name.text(), name.at, changed_names, changes.value.path)
    return HeaderChanges(
        _read_pairs(changes.set),
        _read_pairs(changes.add),
        tuple(name.text().lower() for name in changes.removed),
    )


def _read_pairs(headers: tuple[WrittenHeader, ...]) -> tuple[tuple[str, str], ...]:
    """Return (name, value) of headers, the name in lower case."""
    return tuple((header.name.lower(), header.value.text()) for header in headers)


def check_changed_header(name: str, at: At, changed_names: set[str], path: str) -> None:
    """Add a changed header to `changed_names`.

    Raises BadRules for a second change, and for a name that is not a header.
    """
    lower = name.lower()
    if lower.startswith(":") or lower == "host":
        raise at.error(f"'{name}' is no header; rewrite.authority changes the host", path=path)
    if lower in changed_names:
        raise at.unsupported(
            f"'{name}' is changed twice; which comes first is not specified", path=path
        )
    changed_names.add(lower)


def _read_fault(faults: tuple[WrittenFault, ...]) -> Fault | None:
    fault = Fault()
    for written in faults:
        share = read_percentage(written.percentage, 0.0)
        if written.duration is not None:
            seconds = _read_whole_milliseconds(written.duration)
            fault = replace(fault, delay_seconds=seconds, delay_percent=share)
        if written.kind == "abort":
            fault = replace(_read_abort_status(fault, written), abort_percent=share)
    return fault if faults else None


def _read_abort_status(fault: Fault, abort: WrittenFault) -> Fault:
    """Return the fault with the status of its abort, of HTTP or of gRPC."""
    http, grpc = abort.status, abort.grpc_status
    if grpc is None:
        return replace(fault, abort_status=http.integer(200, 599) if http is not None else 0)
    if http is not None:
        raise http.at.error("'httpStatus' has no place beside 'grpcStatus'", path=abort.value.path)
    return replace(fault, abort_status=200, abort_grpc=grpc.choice(*GRPC_STATUSES))


def _read_retries(limits: WrittenLimits) -> Retries | None:
    retries = limits.retries
    if retries is None:
        return None
    count = limits.attempts.integer(0, 2**31 - 1) if limits.attempts else 0
    for key in KEYS_OF_TRIES:
        if not count and retries.get(key) is not None:
            raise retries.keys[key].error(
                f"'{key}' says nothing without attempts above 0; Istio refuses it",
                path=retries.path,
            )
    avoids_tried = retries.get("retryIgnorePreviousHosts")
    return Retries(
        attempts=count,
        per_try_seconds=_read_whole_milliseconds(limits.try_timeout) if limits.try_timeout else 0.0,
        conditions=_read_retry_conditions(limits.conditions) if limits.conditions else (),
        avoids_tried_pods=avoids_tried.boolean() if avoids_tried is not None else None,
    )


def _read_retry_conditions(retry_on: Value) -> tuple[str, ...]:
    """Return the conditions of a retry: names that Envoy knows, and statuses."""
    conditions = tuple(condition.strip() for condition in retry_on.text().split(","))
    for condition in conditions:
        if condition not in RETRY_CONDITIONS and not is_known_status(condition):
            hint = suggest_nearest(condition, RETRY_CONDITIONS)
            raise retry_on.at.error(
                f"'{condition}' is no condition of a retry, nor a status{hint}", path=retry_on.path
            )
    return conditions


def is_known_status(text: str) -> bool:
    """Say whether text is a status with a name: Istio takes no other as a condition of a retry."""
    return text.isdigit() and any(int(text) in statuses for statuses in _KNOWN_STATUSES)


def _read_mirrors(
    mirrors: tuple[WrittenMirror, ...], route: Value, read_target: TargetReader
) -> tuple[Mirror, ...]:
    several = route.get("mirrors")
    if several is not None and any(mirror.is_only for mirror in mirrors):
        raise several.at.error("'mirrors' has no place beside 'mirror'", path=route.path)
    return tuple(
        Mirror(read_target(mirror.destination), read_percentage(mirror.percentage, 100.0))
        for mirror in mirrors
        if mirror.destination is not None
    )
