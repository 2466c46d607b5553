"""What a rule of Gateway API does beside its split: filters, timeouts and retries.

Source: Gateway API reference, HTTPRouteFilter, HTTPRouteTimeouts, HTTPRouteRetry; its Duration is
that of GEP-2257. Which failures are retried beside the codes, and how often, is istiod's choice.
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
from meshproof.rules.istio.actions import CODES, check_header
from meshproof.rules.model import Mirror, Route, Target
from meshproof.rules.quantities import seconds

_REQUEST, _RESPONSE = "RequestHeaderModifier", "ResponseHeaderModifier"
_MIRROR, _REDIRECT, _REWRITE = "RequestMirror", "RequestRedirect", "URLRewrite"
#: Type of a filter -> the key of what it says.
_KEYS = {
    _REQUEST: "requestHeaderModifier",
    _RESPONSE: "responseHeaderModifier",
    _MIRROR: "requestMirror",
    _REDIRECT: "requestRedirect",
    _REWRITE: "urlRewrite",
    "CORS": "cors",
    "ExtensionRef": "extensionRef",
    "ExternalAuth": "externalAuth",
}
_HEADERS = (_REQUEST, _RESPONSE)
OF_GRPC = (*_HEADERS, _MIRROR)
OF_HTTP = (*OF_GRPC, _REDIRECT, _REWRITE)
_DURATION = re.compile(r"(?:[0-9]{1,5}(?:h|ms|m|s)){1,4}")
#: What is retried whatever the codes are, and how often (istiod).
_RETRIED = ("connect-failure", "refused-stream", "unavailable", "cancelled")
_ATTEMPTS = 2


def acting(
    route: Route, rule: Value, types: tuple[str, ...], backend: Callable[[Value], Target]
) -> Route:
    """Return the route with the filters of a rule, its timeouts and its retries.

    `types` are the filters that may be there, `backend` reads that of a mirror. A rule without any
    weight above 0 answers 500, and nothing else of it but changes of the answer has an effect.
    Raises BadRules with its place for filters that exclude each other.
    """
    filters = list(_filters(rule, types))
    found = dict(filters)
    headers = _headers(found)
    redirect = _redirect(found[_REDIRECT]) if _REDIRECT in found else None
    if redirect is not None:
        _check_alone(rule, found)
        return replace(route, redirect=redirect, headers=headers)
    rewrite = _rewrite(found[_REWRITE]) if _REWRITE in found else None
    mirrors = tuple(_mirror(one, backend) for kind, one in filters if kind == _MIRROR)
    timeout, retries = _limits(rule)
    if not sum(target.weight for target in route.split):
        answer = DirectResponse(500)
        return replace(route, split=(), direct_response=answer, headers=replace(headers, request=_NOTHING))
    return replace(
        route, headers=headers, rewrite=rewrite, mirrors=mirrors, timeout=timeout, retries=retries
    )


_NOTHING = HeaderChanges()


def backend_headers(backend: Value) -> Headers:
    """Return the header changes of a backend. Raises BadRules for filters that istiod has not."""
    return _headers(dict(_filters(backend, _HEADERS)))


def _filters(parent: Value, types: tuple[str, ...]) -> Iterator[tuple[str, Value]]:
    """Yield type and content of the filters of a rule or a backend."""
    found = parent.get("filters")
    seen: set[str] = set()
    for entry in found.items() if found else []:
        named = entry.need("type")
        kind = named.choice(*_KEYS)
        if kind not in types:
            raise named.at.unsupported(f"{entry.path}: {kind} is not supported yet here")
        for key in entry.mapping():
            if key != _KEYS[kind] and key in _KEYS.values():
                raise entry.keys[key].error(f"{entry.path}: '{key}' has no place in a {kind}")
        entry.allow("type", _KEYS[kind])
        if kind in seen and kind != _MIRROR:
            raise entry.at.error(f"{entry.path}: a second {kind}")
        seen.add(kind)
        yield kind, entry.need(_KEYS[kind])


def _check_alone(rule: Value, found: dict[str, Value]) -> None:
    for kind in (_REWRITE, _MIRROR):
        if kind in found:
            raise found[kind].at.error(f"{rule.path}: a {kind} has no place beside a {_REDIRECT}")
    backends = rule.get("backendRefs")
    if backends is not None and backends.items():
        raise rule.keys["backendRefs"].error(
            f"{rule.path}: 'backendRefs' has no place beside a {_REDIRECT}"
        )


def _headers(found: dict[str, Value]) -> Headers:
    return Headers(_changes(found.get(_REQUEST)), _changes(found.get(_RESPONSE)))


def _changes(found: Value | None) -> HeaderChanges:
    if found is None:
        return HeaderChanges()
    found.allow("add", "remove", "set")
    seen: set[str] = set()
    removed = found.get("remove")
    pairs = {key: _pairs(found.get(key), seen) for key in ("set", "add")}
    names = removed.items() if removed else []
    for name in names:
        check_header(name.filled(), name.at, seen, found.path)
    return HeaderChanges(pairs["set"], pairs["add"], tuple(name.text().lower() for name in names))


def _pairs(found: Value | None, seen: set[str]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for entry in found.items() if found else []:
        entry.allow("name", "value")
        name = entry.need("name")
        check_header(name.filled(), name.at, seen, entry.path)
        pairs.append((name.text().lower(), entry.need("value").text()))
    return tuple(pairs)


def _redirect(found: Value) -> Redirect:
    found.allow("hostname", "path", "port", "scheme", "statusCode")
    code, port, scheme = (found.get(key) for key in ("statusCode", "port", "scheme"))
    if code is not None and code.content not in CODES:
        raise code.error(f"one of {', '.join(map(str, CODES))}")
    whole, prefix = _path(found)
    return Redirect(
        code=code.integer(301, 308) if code else 302,
        uri=whole,
        authority=_hostname(found),
        scheme=scheme.choice("http", "https") if scheme else "",
        port=port.integer(1, 65535) if port else None,
        use_request_port=port is None and scheme is None,
        prefix=prefix,
    )


def _rewrite(found: Value) -> Rewrite:
    found.allow("hostname", "path")
    whole, prefix = _path(found)
    rewrite = Rewrite(prefix, _hostname(found), at=found.at)
    if whole:
        # Whatever the match took, all of the path is replaced.
        rewrite = replace(rewrite, pattern="/.*", substitution=whole.replace("\\", r"\\"))
    if not (whole or prefix or rewrite.authority):
        raise found.error("at least one of hostname, path")
    return rewrite


def _hostname(found: Value) -> str:
    name = found.get("hostname")
    return name.filled() if name else ""


def _path(found: Value) -> tuple[str, str]:
    """Return what the whole path becomes, or what its prefix becomes (`/`: it is left out)."""
    path = found.get("path")
    if path is None:
        return "", ""
    path.allow("replaceFullPath", "replacePrefixMatch", "type")
    whole = path.need("type").choice("ReplaceFullPath", "ReplacePrefixMatch") == "ReplaceFullPath"
    key, other = "replaceFullPath", "replacePrefixMatch"
    key, other = (key, other) if whole else (other, key)
    if other in path.mapping():
        raise path.keys[other].error(f"{path.path}: '{other}' has no place in this type")
    value = path.need(key)
    if not value.text().startswith("/") and (whole or value.text()):
        raise value.error("a path that begins with /")
    return (value.text(), "") if whole else ("", value.text() or "/")


def _mirror(found: Value, backend: Callable[[Value], Target]) -> Mirror:
    found.allow("backendRef", "fraction", "percent")
    percent, fraction = found.get("percent"), found.get("fraction")
    share = float(percent.integer(0, 100)) if percent else 100.0
    if percent is not None and fraction is not None:
        raise fraction.at.error(f"{found.path}: 'fraction' has no place beside 'percent'")
    if fraction is not None:
        fraction.allow("denominator", "numerator")
        of = fraction.get("denominator")
        whole = of.integer(1, 2**31 - 1) if of else 100
        share = 100 * fraction.need("numerator").integer(0, whole) / whole
    return Mirror(backend(found.need("backendRef")), share)


def _limits(rule: Value) -> tuple[float | None, Retries | None]:
    """Return the timeout of a request and its retries; one try may take `backendRequest`."""
    found, again = rule.get("timeouts"), rule.get("retry")
    whole = each = None
    if found is not None:
        found.allow("backendRequest", "request")
        whole, each = (_duration(found.get(key)) for key in ("request", "backendRequest"))
        if whole and each and each > whole:
            raise found.keys["backendRequest"].error(
                f"{found.path}: 'backendRequest' is longer than 'request'"
            )
    if again is None:
        return each or whole, None
    again.allow("attempts", "codes", unsupported=("backoff",))
    attempts, codes = again.get("attempts"), again.get("codes")
    words = [str(code.integer(400, 599)) for code in codes.items()] if codes else []
    return whole, Retries(
        attempts=attempts.integer(0, 2**31 - 1) if attempts else _ATTEMPTS,
        per_try_seconds=each or 0.0,
        conditions=(*words, *_RETRIED),
    )


def _duration(found: Value | None) -> float | None:
    if found is None:
        return None
    if not _DURATION.fullmatch(found.text()):
        raise found.error("a duration as 10s, 500ms or 1m30s")
    return seconds(found)
