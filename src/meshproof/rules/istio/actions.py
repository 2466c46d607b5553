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
from meshproof.rules.common_fields import read_percentage_field, read_seconds
from meshproof.rules.model import Mirror, Route, Target

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


def add_actions(route: Route, value: Value, read_target: TargetReader) -> Route:
    """Return the route with the actions in `value`.

    `read_target` reads the Destination of a mirror. Raises BadRules for actions that exclude each
    other.
    """
    return replace(
        route,
        redirect=_read_redirect(value),
        direct_response=_read_direct_response(value),
        rewrite=_add_host(_read_rewrite(value), value),
        headers=read_headers(value),
        fault=_read_fault(value),
        timeout=_read_seconds(value, "timeout"),
        retries=_read_retries(value),
        mirrors=_read_mirrors(value, read_target),
        cors=cors.read_virtual_service_cors(value),
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
        raise route.keys[key].error(f"{route.path}: '{key}' has no place beside '{ending_key}'")
    return False


def _read_seconds(parent: Value, key: str) -> float | None:
    """Return the duration under `key` in seconds, None without one."""
    value = parent.get(key)
    return _read_whole_milliseconds(value) if value else None


def _read_whole_milliseconds(value: Value) -> float:
    """Return a duration in seconds. Raises BadRules for 0 and for parts of a millisecond.

    Istio refuses them (ValidateDuration in pkg/config/validation/agent).
    """
    seconds = read_seconds(value)
    if seconds < _MILLISECOND or round(seconds * 1e9) % 1_000_000:
        raise value.at.error(
            f"{value.path}: '{value.text()}' is not 1ms or more, in whole milliseconds; "
            "Istio refuses it"
        )
    return seconds


def _read_text(parent: Value, key: str) -> str:
    """Return the text under `key`, "" without one."""
    value = parent.get(key)
    return value.text() if value else ""


def _read_redirect(route: Value) -> Redirect | None:
    redirect = route.get("redirect")
    if redirect is None:
        return None
    if not set(redirect.mapping()) - {"redirectCode"}:
        raise redirect.error("at least one of authority, port, prefixRewrite, scheme, uri")
    code, port, derive = (redirect.get(key) for key in ("redirectCode", "port", "derivePort"))
    if port and derive:
        raise derive.at.error(f"{redirect.path}: 'derivePort' has no place beside 'port'")
    derived_port = derive.choice("FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT") if derive else ""
    if code is not None and code.content not in REDIRECT_CODES:
        raise code.error(f"one of {', '.join(map(str, REDIRECT_CODES))}")
    scheme = redirect.get("scheme")
    return Redirect(
        code=code.integer(301, 308) if code else 301,
        uri=_read_text(redirect, "uri"),
        authority=_read_text(redirect, "authority"),
        scheme=scheme.choice("http", "https") if scheme else "",
        port=port.integer(1, 65535) if port else None,
        use_request_port=derived_port == "FROM_REQUEST_PORT",
        prefix=_read_redirect_prefix(route, redirect),
    )


def _read_redirect_prefix(route: Value, redirect: Value) -> str:
    """Return what replaces the prefix that a match takes, "" for nothing."""
    prefix = redirect.get("prefixRewrite")
    if prefix is None or not prefix.text():
        return ""
    if _read_text(redirect, "uri"):
        raise prefix.at.error(f"{redirect.path}: 'prefixRewrite' has no place beside 'uri'")
    matches = route.get("match")
    for match in matches.items() if matches else ():
        uri = match.get("uri")
        if uri is not None and uri.get("prefix") is None:
            raise uri.at.error(
                f"{uri.path}: {redirect.path}.prefixRewrite needs a prefix; Istio refuses it"
            )
    return prefix.text()


def _read_direct_response(route: Value) -> DirectResponse | None:
    response = route.get("directResponse")
    if response is None:
        return None
    body = response.get("body")
    return DirectResponse(response.need("status").integer(200, 599), _read_body(body))


def _read_body(body: Value | None) -> str:
    """Return the body of a direct response; bytes must be those of a text."""
    content = body.get("bytes") if body else None
    if body is None or content is None:
        return _read_text(body, "string") if body else ""
    try:
        return base64.b64decode(content.text(), validate=True).decode()
    except UnicodeDecodeError:
        raise content.at.unsupported(
            f"{content.path}: bytes that are no text are not supported yet"
        ) from None
    except ValueError:
        raise content.error("text in base64") from None


def _read_rewrite(route: Value) -> Rewrite | None:
    value = route.get("rewrite")
    if value is None:
        return None
    regex = value.get("uriRegexRewrite")
    rewrite = Rewrite(_read_text(value, "uri"), _read_text(value, "authority"), at=value.at)
    if regex is not None:
        if rewrite.uri:
            raise regex.at.error(f"{value.path}: 'uriRegexRewrite' has no place beside 'uri'")
        match = regex.need("match")
        rewrite = replace(
            rewrite, pattern=match.text(), substitution=_read_text(regex, "rewrite"), at=match.at
        )
    if not (rewrite.uri or rewrite.authority or rewrite.pattern):
        raise value.error("at least one of authority, uri, uriRegexRewrite")
    return rewrite


def _add_host(rewrite: Rewrite | None, route: Value) -> Rewrite | None:
    """Return the rewrite of a route with the Host header that it sets: istiod rewrites the host.

    rewrite.authority wins, then the header of the route, then that of its only destination. Raises
    BadRules for the header of one of several destinations.
    """
    hosts = [find_host_header(parent) for parent in (route, *route.entries("route"))]
    own, *others = hosts
    if any(others) and len(others) > 1:
        at = next(filter(None, others)).at
        raise at.unsupported(f"{route.path}: another host for some of its destinations")
    authority = next(filter(None, (own, *others)), None)
    if authority is None or (rewrite is not None and rewrite.authority):
        return rewrite
    return replace(rewrite or Rewrite("", ""), authority=authority.text(), at=authority.at)


def find_host_header(parent: Value) -> Value | None:
    """Return the Host header that a route or destination sets or adds, None without one."""
    headers = parent.get("headers")
    request = headers.get("request") if headers is not None else None
    if request is None:
        return None
    for key in ("set", "add"):
        changed = request.get(key)
        for name, value in changed.mapping().items() if changed is not None else ():
            if name.lower() in _HOST_HEADERS:
                return value
    return None


def read_headers(parent: Value) -> Headers:
    """Return the header changes of a route or of a destination.

    Raises BadRules for a header that changes twice: the order is not specified.
    """
    headers = parent.get("headers")
    if headers is None:
        return Headers()
    return Headers(
        _read_header_changes(headers.get("request"), may_set_host=True),
        _read_header_changes(headers.get("response")),
    )


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


def _read_header_changes(changes: Value | None, may_set_host: bool = False) -> HeaderChanges:
    if changes is None:
        return HeaderChanges()
    changed_names: set[str] = set()
    removals = changes.get("remove")
    pairs = {
        key: _read_header_pairs(changes, key, changed_names, may_set_host) for key in ("set", "add")
    }
    names = [(name.text(), name.at) for name in removals.items()] if removals else []
    for name, at in names:
        check_changed_header(name, at, changed_names, changes.path)
    return HeaderChanges(pairs["set"], pairs["add"], tuple(name.lower() for name, _ in names))


def _read_header_pairs(
    changes: Value, key: str, changed_names: set[str], may_set_host: bool
) -> tuple[tuple[str, str], ...]:
    """Return (name, value) of the headers under `key`, and add the names to `changed_names`.

    Without the host, if it may be set: that is a rewrite.
    """
    headers = changes.get(key)
    if headers is None:
        return ()
    pairs = {
        name: value
        for name, value in headers.text_mapping().items()
        if not (may_set_host and name.lower() in _HOST_HEADERS)
    }
    for name in pairs:
        check_changed_header(name, headers.keys[name], changed_names, headers.path)
    return tuple((name.lower(), value) for name, value in pairs.items())


def check_changed_header(name: str, at: At, changed_names: set[str], path: str) -> None:
    """Add a changed header to `changed_names`.

    Raises BadRules for a second change, and for a name that is not a header.
    """
    lower = name.lower()
    if lower.startswith(":") or lower == "host":
        raise at.error(f"{path}: '{name}' is no header; rewrite.authority changes the host")
    if lower in changed_names:
        raise at.unsupported(
            f"{path}: '{name}' is changed twice; which comes first is not specified"
        )
    changed_names.add(lower)


def _read_fault(route: Value) -> Fault | None:
    value = route.get("fault")
    if value is None:
        return None
    delay, abort = value.get("delay"), value.get("abort")
    fault = Fault()
    if delay is not None:
        fault = replace(
            fault,
            delay_seconds=_read_whole_milliseconds(delay.need("fixedDelay")),
            delay_percent=read_percentage_field(delay, "percentage", "percent", 0.0),
        )
    if abort is not None:
        fault = replace(
            _read_abort_status(fault, abort),
            abort_percent=read_percentage_field(abort, "percentage", "percent", 0.0),
        )
    return fault


def _read_abort_status(fault: Fault, abort: Value) -> Fault:
    """Return the fault with the status of its abort, of HTTP or of gRPC."""
    grpc, http = abort.get("grpcStatus"), abort.get("httpStatus")
    if grpc is None:
        return replace(fault, abort_status=abort.need("httpStatus").integer(200, 599))
    if http is not None:
        raise http.at.error(f"{abort.path}: 'httpStatus' has no place beside 'grpcStatus'")
    return replace(fault, abort_status=200, abort_grpc=grpc.choice(*GRPC_STATUSES))


def _read_retries(route: Value) -> Retries | None:
    retries = route.get("retries")
    if retries is None:
        return None
    attempts, retry_on = retries.get("attempts"), retries.get("retryOn")
    count = attempts.integer(0, 2**31 - 1) if attempts else 0
    for key in ("perTryTimeout", "retryOn", "retryRemoteLocalities"):
        if not count and retries.get(key) is not None:
            raise retries.keys[key].error(
                f"{retries.path}: '{key}' says nothing without attempts above 0; Istio refuses it"
            )
    return Retries(
        attempts=count,
        per_try_seconds=_read_seconds(retries, "perTryTimeout") or 0.0,
        conditions=_read_retry_conditions(retry_on) if retry_on else (),
    )


def _read_retry_conditions(retry_on: Value) -> tuple[str, ...]:
    """Return the conditions of a retry: names that Envoy knows, and statuses."""
    conditions = tuple(condition.strip() for condition in retry_on.text().split(","))
    for condition in conditions:
        if condition not in RETRY_CONDITIONS and not is_known_status(condition):
            hint = suggest_nearest(condition, RETRY_CONDITIONS)
            raise retry_on.at.error(
                f"{retry_on.path}: '{condition}' is no condition of a retry, nor a status{hint}"
            )
    return conditions


def is_known_status(text: str) -> bool:
    """Say whether text is a status with a name: Istio takes no other as a condition of a retry."""
    return text.isdigit() and any(int(text) in statuses for statuses in _KNOWN_STATUSES)


def _read_mirrors(route: Value, read_target: TargetReader) -> tuple[Mirror, ...]:
    mirror, mirrors = route.get("mirror"), route.get("mirrors")
    if mirror is not None and mirrors is not None:
        raise mirrors.at.error(f"{route.path}: 'mirrors' has no place beside 'mirror'")
    if mirror is not None:
        return (Mirror(read_target(mirror), read_mirror_percent(route)),)
    results = []
    for entry in mirrors.items() if mirrors else ():
        target = read_target(entry.need("destination"))
        results.append(Mirror(target, read_percentage_field(entry, "percentage", "", 100.0)))
    return tuple(results)


def read_mirror_percent(*routes: Value) -> float:
    """Return the percentage of `mirror`: of the first route that has one in the form of today."""
    for key in ("mirrorPercentage", "mirror_percent", "mirrorPercent"):
        for route in routes:
            if route.get(key) is not None:
                return read_percentage_field(route, "mirrorPercentage", key, 100.0)
    return 100.0
