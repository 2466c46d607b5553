"""Reads filters, timeouts and retries of a Gateway API rule.

Source: Gateway API reference, HTTPRouteFilter, HTTPRouteTimeouts, HTTPRouteRetry; GEP-2257 for
durations. Which failures are retried beside the codes, and how often, follows istiod.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from meshproof.documents.manifest import Value
from meshproof.rules.actions import (
    DirectResponse,
    HeaderChanges,
    Headers,
    Redirect,
    Retries,
    Rewrite,
)
from meshproof.rules.common_fields import read_seconds
from meshproof.rules.cors import read_cors_filter
from meshproof.rules.istio.actions import REDIRECT_CODES, read_header_changes
from meshproof.rules.model import Mirror, Route, Target
from meshproof.rules.written import (
    WrittenActions,
    WrittenEntry,
    WrittenHeaders,
    WrittenLimits,
    WrittenMirror,
    WrittenRedirect,
    WrittenRewrite,
)

_REQUEST, _RESPONSE = "RequestHeaderModifier", "ResponseHeaderModifier"
_MIRROR, _REDIRECT, _REWRITE = "RequestMirror", "RequestRedirect", "URLRewrite"
_CORS = "CORS"
#: Type of a filter -> the key of its content.
_FILTER_KEYS = {
    _REQUEST: "requestHeaderModifier",
    _RESPONSE: "responseHeaderModifier",
    _MIRROR: "requestMirror",
    _REDIRECT: "requestRedirect",
    _REWRITE: "urlRewrite",
    _CORS: "cors",
    "ExtensionRef": "extensionRef",
    "ExternalAuth": "externalAuth",
}
_HEADER_FILTERS = (_REQUEST, _RESPONSE)
GRPC_FILTERS = (*_HEADER_FILTERS, _MIRROR)
HTTP_FILTERS = (*GRPC_FILTERS, _REDIRECT, _REWRITE, _CORS)
_DURATION = re.compile(r"(?:[0-9]{1,5}(?:h|ms|m|s)){1,4}")
#: Conditions that are retried whatever the codes are, and the default attempts (istiod).
_ALWAYS_RETRIED = ("connect-failure", "refused-stream", "unavailable", "cancelled")
_DEFAULT_ATTEMPTS = 2


def add_filters(
    route: Route,
    rule: Value,
    written: WrittenActions,
    types: tuple[str, ...],
    read_backend: Callable[[Value], Target],
) -> Route:
    """Return the route with the filters of a rule, its timeouts and its retries.

    `types` are the valid filters; `read_backend` reads the backend of a mirror. A rule without a
    weight above 0 answers 500; of its filters only response header changes have an effect. Raises
    BadRules with file and line for filters that exclude each other.
    """
    _check_filters(rule, types)
    written.check_form()
    route = replace(
        route, headers=_read_headers(written.headers), cors=read_cors_filter(written.cors)
    )
    if written.redirect is not None:
        redirect = _read_redirect(written.redirect)
        _check_redirect_alone(rule, written)
        return replace(route, redirect=redirect)
    rewrite = _read_rewrite(written.rewrite) if written.rewrite is not None else None
    mirrors = tuple(_read_mirror(mirror, read_backend) for mirror in written.mirrors)
    timeout, retries = _read_limits(written.limits)
    if not sum(target.weight for target in route.split):
        headers = replace(route.headers, request=HeaderChanges())
        return replace(route, split=(), direct_response=DirectResponse(500), headers=headers)
    return replace(route, rewrite=rewrite, mirrors=mirrors, timeout=timeout, retries=retries)


def read_backend_headers(entry: WrittenEntry) -> Headers:
    """Return the header changes of a backend. Raises BadRules for filters beyond istiod's."""
    _check_filters(entry.value, _HEADER_FILTERS)
    return _read_headers(entry.headers)


def _check_filters(parent: Value, types: tuple[str, ...]) -> None:
    """Raise BadRules for filters of a rule or a backend that are not valid or not supported."""
    seen_kinds: set[str] = set()
    for entry in parent.entries("filters"):
        filter_type = entry.need("type")
        kind = filter_type.choice(*_FILTER_KEYS)
        if kind not in types:
            raise filter_type.at.unsupported(f"{kind} is not supported yet here", path=entry.path)
        for key in entry.mapping():
            if key != _FILTER_KEYS[kind] and key in _FILTER_KEYS.values():
                raise entry.keys[key].error(f"'{key}' has no place in a {kind}", path=entry.path)
        if kind in seen_kinds and kind != _MIRROR:
            raise entry.at.error(f"a second {kind}", path=entry.path)
        seen_kinds.add(kind)
        entry.need(_FILTER_KEYS[kind])


def _check_redirect_alone(rule: Value, written: WrittenActions) -> None:
    """Raise BadRules for filters or backends that exclude a redirect."""
    rewrites = (written.rewrite,) if written.rewrite is not None else ()
    for kind, others in ((_REWRITE, rewrites), (_MIRROR, written.mirrors)):
        for other in others:
            raise other.value.at.error(
                f"a {kind} has no place beside a {_REDIRECT}", path=rule.path
            )
    if written.split is not None and written.split.entries:
        raise written.split.at.error(
            f"'backendRefs' has no place beside a {_REDIRECT}", path=rule.path
        )


def _read_headers(headers: WrittenHeaders) -> Headers:
    """Return the header changes in the filters of a rule or a backend."""
    for changes in filter(None, (headers.request, headers.response)):
        for header in (*changes.set, *changes.add):
            if header.name_value is not None:
                header.name_value.non_empty_text()
        for name in changes.removed:
            name.non_empty_text()
    return Headers(*map(read_header_changes, (headers.request, headers.response)))


def _read_redirect(redirect: WrittenRedirect) -> Redirect:
    code, port, scheme = redirect.code, redirect.port, redirect.scheme
    if code is not None and code.content not in REDIRECT_CODES:
        raise code.error(f"one of {', '.join(map(str, REDIRECT_CODES))}")
    full_path, prefix = _read_path_change(redirect)
    return Redirect(
        code=code.integer(301, 308) if code else 302,
        uri=full_path,
        authority=redirect.host.non_empty_text() if redirect.host else "",
        scheme=scheme.choice("http", "https") if scheme else "",
        port=port.integer(1, 65535) if port else None,
        use_request_port=port is None and scheme is None,
        prefix=prefix,
    )


def _read_rewrite(written: WrittenRewrite) -> Rewrite:
    full_path, prefix = _read_path_change(written)
    host = written.host.non_empty_text() if written.host else ""
    rewrite = Rewrite(prefix, host, at=written.value.at)
    if full_path:
        # Whatever the match took, all of the path is replaced.
        rewrite = replace(rewrite, pattern="/.*", substitution=full_path.replace("\\", r"\\"))
    if not (full_path or prefix or rewrite.authority):
        raise written.value.lacks("at least one of hostname, path")
    return rewrite


def _read_path_change(written: WrittenRedirect | WrittenRewrite) -> tuple[str, str]:
    """Return (new path, new prefix), one of them empty. A new prefix of `/` removes it."""
    change = written.path_change
    if change is None:
        return "", ""
    is_full_path = (
        change.need("type").choice("ReplaceFullPath", "ReplacePrefixMatch") == "ReplaceFullPath"
    )
    key, wrong_key = "replaceFullPath", "replacePrefixMatch"
    key, wrong_key = (key, wrong_key) if is_full_path else (wrong_key, key)
    if wrong_key in change.mapping():
        raise change.keys[wrong_key].error(
            f"'{wrong_key}' has no place in this type", path=change.path
        )
    value = change.need(key)
    if not value.text().startswith("/") and (is_full_path or value.text()):
        raise value.error("a path that begins with /")
    return (value.text(), "") if is_full_path else ("", value.text() or "/")


def _read_mirror(mirror: WrittenMirror, read_backend: Callable[[Value], Target]) -> Mirror:
    percentage, fraction = mirror.percentage, mirror.fraction
    share = float(percentage.value.integer(0, 100)) if percentage else 100.0
    if percentage is not None and fraction is not None:
        raise fraction.at.error("'fraction' has no place beside 'percent'", path=mirror.value.path)
    if fraction is not None:
        denominator = fraction.get("denominator")
        total = denominator.integer(1, 2**31 - 1) if denominator else 100
        share = 100 * fraction.need("numerator").integer(0, total) / total
    return Mirror(read_backend(mirror.value.need("backendRef")), share)


def _read_limits(limits: WrittenLimits) -> tuple[float | None, Retries | None]:
    """Return the timeout of a request in seconds and its retries, None where not set.

    `backendRequest` limits each try; without `retry` it is the timeout. Raises BadRules if it is
    longer than `request`.
    """
    timeout, per_try = _read_duration(limits.timeout), _read_duration(limits.try_timeout)
    timeouts = limits.timeouts
    if timeouts is not None and timeout and per_try and per_try > timeout:
        raise timeouts.keys["backendRequest"].error(
            "'backendRequest' is longer than 'request'", path=timeouts.path
        )
    if limits.retries is None:
        return per_try or timeout, None
    attempts, codes = limits.attempts, limits.conditions
    status_codes = [str(code.integer(400, 599)) for code in codes.items()] if codes else []
    return timeout, Retries(
        attempts=attempts.integer(0, 2**31 - 1) if attempts else _DEFAULT_ATTEMPTS,
        per_try_seconds=per_try or 0.0,
        conditions=(*status_codes, *_ALWAYS_RETRIED),
    )


def _read_duration(duration: Value | None) -> float | None:
    if duration is None:
        return None
    if not _DURATION.fullmatch(duration.text()):
        raise duration.error("a duration as 10s, 500ms or 1m30s")
    return read_seconds(duration)
