"""Reads filters, timeouts and retries of a Gateway API rule.

Source: Gateway API reference, HTTPRouteFilter, HTTPRouteTimeouts, HTTPRouteRetry; GEP-2257 for
durations. Which failures are retried beside the codes, and how often, follows istiod.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
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
from meshproof.rules.istio.actions import REDIRECT_CODES, check_changed_header
from meshproof.rules.model import Mirror, Route, Target

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
    route: Route, rule: Value, types: tuple[str, ...], read_backend: Callable[[Value], Target]
) -> Route:
    """Return the route with the filters of a rule, its timeouts and its retries.

    `types` are the valid filters; `read_backend` reads the backend of a mirror. A rule without a
    weight above 0 answers 500; of its filters only response header changes have an effect. Raises
    BadRules with file and line for filters that exclude each other.
    """
    filters = list(_read_filters(rule, types))
    filter_by_type = dict(filters)
    headers = _read_headers(filter_by_type)
    if _CORS in filter_by_type:
        route = replace(route, cors=read_cors_filter(filter_by_type[_CORS]))
    redirect = _read_redirect(filter_by_type[_REDIRECT]) if _REDIRECT in filter_by_type else None
    if redirect is not None:
        _check_redirect_alone(rule, filter_by_type)
        return replace(route, redirect=redirect, headers=headers)
    rewrite = _read_rewrite(filter_by_type[_REWRITE]) if _REWRITE in filter_by_type else None
    mirrors = tuple(
        _read_mirror(content, read_backend) for kind, content in filters if kind == _MIRROR
    )
    timeout, retries = _read_limits(rule)
    if not sum(target.weight for target in route.split):
        answer = DirectResponse(500)
        return replace(
            route, split=(), direct_response=answer, headers=replace(headers, request=_NO_CHANGES)
        )
    return replace(
        route, headers=headers, rewrite=rewrite, mirrors=mirrors, timeout=timeout, retries=retries
    )


_NO_CHANGES = HeaderChanges()


def read_backend_headers(backend: Value) -> Headers:
    """Return the header changes of a backend. Raises BadRules for filters beyond istiod's."""
    return _read_headers(dict(_read_filters(backend, _HEADER_FILTERS)))


def _read_filters(parent: Value, types: tuple[str, ...]) -> Iterator[tuple[str, Value]]:
    """Yield type and content of the filters of a rule or a backend."""
    filters = parent.get("filters")
    seen_kinds: set[str] = set()
    for entry in filters.items() if filters else []:
        filter_type = entry.need("type")
        kind = filter_type.choice(*_FILTER_KEYS)
        if kind not in types:
            raise filter_type.at.unsupported(f"{entry.path}: {kind} is not supported yet here")
        for key in entry.mapping():
            if key != _FILTER_KEYS[kind] and key in _FILTER_KEYS.values():
                raise entry.keys[key].error(f"{entry.path}: '{key}' has no place in a {kind}")
        if kind in seen_kinds and kind != _MIRROR:
            raise entry.at.error(f"{entry.path}: a second {kind}")
        seen_kinds.add(kind)
        yield kind, entry.need(_FILTER_KEYS[kind])


def _check_redirect_alone(rule: Value, filter_by_type: dict[str, Value]) -> None:
    """Raise BadRules for filters or backends that exclude a redirect."""
    for kind in (_REWRITE, _MIRROR):
        if kind in filter_by_type:
            raise filter_by_type[kind].at.error(
                f"{rule.path}: a {kind} has no place beside a {_REDIRECT}"
            )
    backends = rule.get("backendRefs")
    if backends is not None and backends.items():
        raise rule.keys["backendRefs"].error(
            f"{rule.path}: 'backendRefs' has no place beside a {_REDIRECT}"
        )


def _read_headers(filter_by_type: dict[str, Value]) -> Headers:
    """Return the header changes in the filters of a rule or a backend."""
    return Headers(
        _read_header_changes(filter_by_type.get(_REQUEST)),
        _read_header_changes(filter_by_type.get(_RESPONSE)),
    )


def _read_header_changes(modifier: Value | None) -> HeaderChanges:
    if modifier is None:
        return HeaderChanges()
    changed_names: set[str] = set()
    removals = modifier.get("remove")
    pairs = {key: _read_header_pairs(modifier.get(key), changed_names) for key in ("set", "add")}
    names = removals.items() if removals else []
    for name in names:
        check_changed_header(name.non_empty_text(), name.at, changed_names, modifier.path)
    return HeaderChanges(pairs["set"], pairs["add"], tuple(name.text().lower() for name in names))


def _read_header_pairs(
    entries: Value | None, changed_names: set[str]
) -> tuple[tuple[str, str], ...]:
    """Return (name, value) of each header, and add the names to `changed_names`."""
    pairs = []
    for entry in entries.items() if entries else []:
        name = entry.need("name")
        check_changed_header(name.non_empty_text(), name.at, changed_names, entry.path)
        pairs.append((name.text().lower(), entry.need("value").text()))
    return tuple(pairs)


def _read_redirect(redirect: Value) -> Redirect:
    code, port, scheme = (redirect.get(key) for key in ("statusCode", "port", "scheme"))
    if code is not None and code.content not in REDIRECT_CODES:
        raise code.error(f"one of {', '.join(map(str, REDIRECT_CODES))}")
    full_path, prefix = _read_path_change(redirect)
    return Redirect(
        code=code.integer(301, 308) if code else 302,
        uri=full_path,
        authority=_read_hostname(redirect),
        scheme=scheme.choice("http", "https") if scheme else "",
        port=port.integer(1, 65535) if port else None,
        use_request_port=port is None and scheme is None,
        prefix=prefix,
    )


def _read_rewrite(content: Value) -> Rewrite:
    full_path, prefix = _read_path_change(content)
    rewrite = Rewrite(prefix, _read_hostname(content), at=content.at)
    if full_path:
        # Whatever the match took, all of the path is replaced.
        rewrite = replace(rewrite, pattern="/.*", substitution=full_path.replace("\\", r"\\"))
    if not (full_path or prefix or rewrite.authority):
        raise content.error("at least one of hostname, path")
    return rewrite


def _read_hostname(content: Value) -> str:
    name = content.get("hostname")
    return name.non_empty_text() if name else ""


def _read_path_change(content: Value) -> tuple[str, str]:
    """Return (new path, new prefix), one of them empty. A new prefix of `/` removes it."""
    path = content.get("path")
    if path is None:
        return "", ""
    is_full_path = (
        path.need("type").choice("ReplaceFullPath", "ReplacePrefixMatch") == "ReplaceFullPath"
    )
    key, wrong_key = "replaceFullPath", "replacePrefixMatch"
    key, wrong_key = (key, wrong_key) if is_full_path else (wrong_key, key)
    if wrong_key in path.mapping():
        raise path.keys[wrong_key].error(f"{path.path}: '{wrong_key}' has no place in this type")
    value = path.need(key)
    if not value.text().startswith("/") and (is_full_path or value.text()):
        raise value.error("a path that begins with /")
    return (value.text(), "") if is_full_path else ("", value.text() or "/")


def _read_mirror(content: Value, read_backend: Callable[[Value], Target]) -> Mirror:
    percent, fraction = content.get("percent"), content.get("fraction")
    share = float(percent.integer(0, 100)) if percent else 100.0
    if percent is not None and fraction is not None:
        raise fraction.at.error(f"{content.path}: 'fraction' has no place beside 'percent'")
    if fraction is not None:
        denominator = fraction.get("denominator")
        total = denominator.integer(1, 2**31 - 1) if denominator else 100
        share = 100 * fraction.need("numerator").integer(0, total) / total
    return Mirror(read_backend(content.need("backendRef")), share)


def _read_limits(rule: Value) -> tuple[float | None, Retries | None]:
    """Return the timeout of a request in seconds and its retries, None where not set.

    `backendRequest` limits each try; without `retry` it is the timeout. Raises BadRules if it is
    longer than `request`.
    """
    timeouts, retry = rule.get("timeouts"), rule.get("retry")
    timeout = per_try = None
    if timeouts is not None:
        timeout, per_try = (
            _read_duration(timeouts.get(key)) for key in ("request", "backendRequest")
        )
        if timeout and per_try and per_try > timeout:
            raise timeouts.keys["backendRequest"].error(
                f"{timeouts.path}: 'backendRequest' is longer than 'request'"
            )
    if retry is None:
        return per_try or timeout, None
    attempts, codes = retry.get("attempts"), retry.get("codes")
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
