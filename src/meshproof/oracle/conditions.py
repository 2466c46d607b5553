"""The conditions of a match: whether each holds, which calls satisfy it, which just miss it.

Part of the oracle: nothing here is shared with `mesh/`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import quote

from meshproof.base.names import CLUSTER_DOMAIN, MESH, Labels, format_labels, is_service
from meshproof.documents.manifest import At
from meshproof.oracle import hosts, strings
from meshproof.rules.model import INGRESS, Match, Proxy, StringMatch, TlsMode

Pairs = tuple[tuple[str, str], ...]
UNMATCHED_VALUE = strings.UNMATCHED_VALUE
#: The methods that are tried. CONNECT asks a proxy for a tunnel; it never comes to the rules.
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE")
#: Paths that reach Envoy as they are: no character that a browser encodes (URL Standard, path
#: percent-encode set), no dots to resolve.
_SENDABLE_PATH = re.compile(r"/(?:[\w.~!$&'()*+,;=:@/|\[\]-]|%[0-9A-Fa-f]{2})*", re.A)
#: What a browser leaves as it is in a path, beside letters and digits.
_UNENCODED = "/.~!$&'()*+,;=:@|[]%-_"
_DOT_SEGMENT = re.compile(r"/\.{1,2}(?:/|$)")
#: Names of headers (RFC 9110, section 5.6.2).
_HEADER_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.A)
#: Query values that mean the same whether or not they are decoded.
_QUERY_TEXT = re.compile(r"[\w.~!$'()*,;:@/?-]+", re.A)
#: Longer values are cut in the middle, so that an id stays readable.
_MAX_ID_LENGTH = 48


@dataclass(frozen=True)
class TlsCall:
    """How a call at a gateway speaks TLS.

    `server` is the server where it must end, `mode` that server's. The client asks for `name` (SNI)
    and, with `shows_certificate`, shows one of its own.
    """

    server: str
    mode: TlsMode
    name: str
    shows_certificate: bool


@dataclass(frozen=True)
class Call:
    """A request as the rules see it: who calls which service, and how.

    It is no `HttpRequest`: it names its caller and entrance, which no request carries, and the
    query by its parts. `UserRules.build_request` makes the request that is sent.

    `host` is the full name of the called service, at a gateway the host of a rule. `port` is the
    port of the service or gateway. `authority` is the Host header, "" for host and port. `source`
    and `namespace` are the labels and the namespace of the calling workload. `gateway` is where
    the call comes in, `mesh` for a sidecar, `proxy` the proxy there. Header names are lower case.
    Without `has_short_names` only the full name reaches the host: it is no service.
    One that `shows_pods` goes to proxies for which every workload has several pods.
    """

    host: str
    path: str = "/"
    method: str = "GET"
    headers: Pairs = ()
    query: Pairs = ()
    authority: str = ""
    source: Labels = ()
    gateway: str = MESH
    port: int = 80
    namespace: str = "default"
    proxy: Proxy = INGRESS
    tls: TlsCall | None = None
    has_short_names: bool = True
    shows_pods: bool = False

    @property
    def scheme(self) -> str:
        """The scheme of its URL."""
        return "https" if self.tls else "http"

    def header(self, name: str) -> str | None:
        """Return the value of a header (`name` in lower case), None when it is absent."""
        return dict(self.headers).get(name)

    @property
    def request_target(self) -> str:
        """Path and query."""
        query = "&".join(f"{name}={value}" for name, value in self.query)
        return f"{self.path}?{query}" if query else self.path

    @property
    def host_header(self) -> str:
        """The Host header."""
        return self.authority or (self.host if self.port == 80 else f"{self.host}:{self.port}")

    def with_header(self, name: str, value: str | None) -> Call:
        """Return the call with a header set to a value, or removed for None."""
        return replace(self, headers=_set_pair(self.headers, name, value))

    def with_query(self, name: str, value: str | None) -> Call:
        """Return the call with a query parameter set to a value, or removed for None."""
        return replace(self, query=_set_pair(self.query, name, value))


def _set_pair(pairs: Pairs, name: str, value: str | None) -> Pairs:
    """Return the pairs, sorted, with `name` set to a value, or removed for None."""
    other_pairs = [pair for pair in pairs if pair[0] != name]
    return tuple(sorted(other_pairs if value is None else [*other_pairs, (name, value)]))


@dataclass(frozen=True)
class SimilarCall:
    """A call that differs a little from one that satisfies a condition, and how it differs."""

    description: str
    call: Call


@dataclass(frozen=True)
class Condition:
    """One condition of a match, in words (`text`) and as functions of a call.

    `holds` says whether a call satisfies the condition. `satisfying_calls` changes a call so that
    it does. `similar_calls` changes a satisfying call a little: most results miss the condition,
    some still satisfy it (a cookie among others). `describe` names what a call has for the
    condition (`cookie user=burr`), "" where its entrance already says it.
    """

    text: str
    at: At
    holds: Callable[[Call], bool]
    satisfying_calls: Callable[[Call], Iterable[Call]]
    similar_calls: Callable[[Call], Iterable[SimilarCall]]
    describe: Callable[[Call], str]


def shorten(text: str) -> str:
    """Return a text short enough for an id."""
    return text if len(text) <= _MAX_ID_LENGTH else f"{text[: _MAX_ID_LENGTH - 13]}...{text[-10:]}"


def list_conditions(match: Match) -> list[Condition]:
    """Return the conditions of a match, all of which must hold."""
    conditions: list[Condition] = []
    if match.gateways:
        conditions.append(_make_gateway_condition(match.gateways, match.at))
    if match.source:
        conditions.append(_make_source_condition(match.source, match.at))
    if match.source_namespace:
        conditions.append(_make_namespace_condition(match.source_namespace, match.at))
    if match.port is not None:
        conditions.append(_make_port_condition(match.port, match.at))
    if match.scheme is not None:
        conditions.append(_make_scheme_condition(match.scheme))
    if match.uri is not None:
        conditions.append(_make_path_condition(match.uri, match.ignore_uri_case))
    if match.method is not None:
        conditions.append(_make_method_condition(match.method))
    if match.authority is not None:
        conditions.append(_make_authority_condition(match.authority))
    conditions += [_make_header_condition(name, value) for name, value in match.headers]
    conditions += [
        _make_without_header_condition(name, value) for name, value in match.without_headers
    ]
    conditions += [_make_query_condition(name, value) for name, value in match.query]
    return conditions


def list_unproven(match: Match | None, call: Call) -> Iterator[str]:
    """Yield in words which conditions of a match no request of a call's kind proves."""
    if match is not None and match.scheme is not None:
        kind = "https" if call.tls else "plain HTTP"
        yield f"the scheme of its match: every request to it is {kind}"


def _make_path_condition(string_match: StringMatch, ignore_case: bool) -> Condition:
    """Return the condition on the path."""
    lowered = replace(string_match, value=string_match.value.lower())
    folds_case = ignore_case and string_match.kind != "regex"  # Istio reference, HTTPMatchRequest

    def is_match(value: str) -> bool:
        return (
            strings.matches(lowered, value.lower())
            if folds_case
            else strings.matches(string_match, value)
        )

    def satisfy(call: Call) -> Iterator[Call]:
        """Yield copies of a call with a path that the condition takes."""
        for path in filter(is_sendable_path, strings.generate_matches(string_match, "/")):
            if folds_case:
                yield replace(call, path=path.swapcase())
            yield replace(call, path=path)

    def find_similar(call: Call) -> Iterator[SimilarCall]:
        paths = list(strings.generate_similar_matches(string_match, call.path))
        paths += [("in other case", call.path.swapcase())] if folds_case else []
        paths += strings.generate_near_misses(string_match, call.path, is_match)
        for description, path in paths:
            if is_sendable_path(path):
                yield SimilarCall(f"path {shorten(path)} ({description})", replace(call, path=path))

    return Condition(
        f"path {strings.describe_condition(string_match)}{' in any case' if ignore_case else ''}",
        string_match.at,
        lambda call: is_match(call.path),
        satisfy,
        find_similar,
        lambda call: f"path {shorten(call.path)}",
    )


def encode_path(path: str) -> str:
    """Return a path as a browser sends it: UTF-8, percent-encoded (URL Standard)."""
    return quote(path, safe=_UNENCODED)


_CLAIM = "@request.auth.claims"


def explain_unsendable_path(match: Match | None) -> str:
    """Return why no browser sends a path that the match takes, "" if one does or none is needed."""
    uri = match.uri if match else None
    if uri is None or uri.kind in ("regex", "present") or is_sendable_path(uri.value):
        return ""
    sent = encode_path(uri.value)
    if "?" in uri.value or "#" in uri.value:
        return f"no path has a ? or #: the path '{uri.value}' is none"
    if not is_sendable_path(sent):
        return f"a browser resolves the dots of the path '{uri.value}' before it asks"
    return f"a browser asks for '{sent}' in place of '{uri.value}', and that is not matched"


def explain_claim(match: Match | None) -> str:
    """Return that a match asks for a claim of a token, "" if it does not: no case brings one."""
    headers = match.headers + match.without_headers if match else ()
    claims = [name for name, _ in headers if name.lower().startswith(_CLAIM)]
    return f"it asks for '{claims[0]}', and no case brings a token" if claims else ""


def is_sendable_path(path: str) -> bool:
    """Say whether a client sends a path unchanged."""
    return _SENDABLE_PATH.fullmatch(path) is not None and not _DOT_SEGMENT.search(path)


def _make_method_condition(string_match: StringMatch) -> Condition:
    """Return the condition on the method."""

    def satisfy(call: Call) -> Iterator[Call]:
        """Yield copies of a call with each method that the condition takes."""
        for method in METHODS:
            if strings.matches(string_match, method):
                yield replace(call, method=method)

    def find_similar(call: Call) -> Iterator[SimilarCall]:
        for method in METHODS:
            if method != call.method:
                yield SimilarCall(f"method {method}", replace(call, method=method))

    return Condition(
        f"method {strings.describe_condition(string_match)}",
        string_match.at,
        lambda call: strings.matches(string_match, call.method),
        satisfy,
        find_similar,
        lambda call: f"method {call.method}",
    )


def _make_authority_condition(string_match: StringMatch) -> Condition:
    """Return the condition on the Host header."""

    def calls_where(call: Call, holds: bool) -> Iterator[Call]:
        below_wildcard = (
            name
            for name in (
                *strings.generate_matches(string_match, call.host_header),
                hosts.make_example(call.host),
            )
            if "*" in call.host and hosts.covers(call.host, name)
        )
        for host_name in (*list_host_names(call), *below_wildcard):
            if strings.matches(string_match, host_name) is holds:
                yield replace(call, authority=host_name)
        if holds and call.gateway == MESH and is_service(call.host):
            neighbour = replace(call, authority="", namespace=call.host.split(".")[1])
            for host_name in list_host_names(neighbour) if neighbour != call else ():
                if strings.matches(string_match, host_name):
                    yield replace(neighbour, authority=host_name)

    def find_similar(call: Call) -> Iterator[SimilarCall]:
        for changed in itertools.islice(calls_where(call, False), 2):
            yield SimilarCall(f"authority {shorten(changed.authority)}", changed)

    return Condition(
        f"authority {strings.describe_condition(string_match)}",
        string_match.at,
        lambda call: strings.matches(string_match, call.host_header),
        lambda call: calls_where(call, True),
        find_similar,
        lambda call: f"authority {shorten(call.host_header)}",
    )


def list_host_names(call: Call) -> Iterator[str]:
    """Yield the Host headers that reach the host of a call; others never reach its rules."""
    yield call.host_header
    if call.gateway != MESH or not is_service(call.host) or not call.has_short_names:
        if ":" not in call.host_header:
            yield f"{call.host_header}:{call.port}"
        return
    service, _, namespace = call.host.removesuffix(f".{CLUSTER_DOMAIN}").partition(".")
    host_names = [f"{service}.{namespace}", f"{service}.{namespace}.svc", call.host]
    host_names = [service, *host_names] if namespace == call.namespace else host_names
    yield from host_names if call.port == 80 else ()
    yield from (f"{host_name}:{call.port}" for host_name in host_names)


def _make_header_condition(name: str, string_match: StringMatch) -> Condition:
    """Return the condition on a header."""

    def is_match(call: Call) -> bool:
        value = call.header(name)
        return value is not None and strings.matches(string_match, value)

    def satisfy(call: Call) -> Iterator[Call]:
        """Yield copies of a call with a value of the header that the condition takes."""
        if _HEADER_NAME.fullmatch(name):
            for value in strings.generate_matches(string_match, "1"):
                if strings.is_sendable_value(value):
                    yield call.with_header(name, value)

    def find_similar(call: Call) -> Iterator[SimilarCall]:
        yield SimilarCall(f"no {name}", call.with_header(name, None))
        current = call.header(name) or ""
        values = list(strings.generate_similar_matches(string_match, current))
        values += (
            []
            if string_match.kind == "present"
            else strings.generate_near_misses(string_match, current)
        )
        if name == "cookie":
            values += strings.generate_cookie_variants(current)
        for description, value in values:
            yield SimilarCall(
                f"{name} {shorten(value)} ({description})", call.with_header(name, value)
            )

    return Condition(
        f"{name} {strings.describe_condition(string_match)}",
        string_match.at,
        is_match,
        satisfy,
        find_similar,
        lambda call: f"{name} {shorten(call.header(name) or '')}",
    )


def _make_without_header_condition(name: str, string_match: StringMatch) -> Condition:
    """Return the condition of withoutHeaders. An absent header counts as an empty one."""

    def is_match(call: Call) -> bool:
        value = call.header(name)
        if string_match.kind == "present":
            return value is None
        return not strings.matches(string_match, value or "")

    def find_similar(call: Call) -> Iterator[SimilarCall]:
        for value in itertools.islice(strings.generate_matches(string_match, "1"), 1):
            yield SimilarCall(f"{name} {shorten(value)}", call.with_header(name, value))
            if string_match.kind != "present":
                yield from vary(call, value)
        yield SimilarCall(f"{name} {UNMATCHED_VALUE}", call.with_header(name, UNMATCHED_VALUE))

    def vary(call: Call, value: str) -> Iterator[SimilarCall]:
        for description, varied in (
            *strings.generate_similar_matches(string_match, value),
            *strings.generate_near_misses(string_match, value),
        ):
            if varied != UNMATCHED_VALUE and strings.is_sendable_value(varied):
                description = f"{name} {shorten(varied)} ({description})"
                yield SimilarCall(description, call.with_header(name, varied))

    def describe(call: Call) -> str:
        value = call.header(name)
        return f"no {name}" if value is None else f"{name} {shorten(value)}"

    return Condition(
        f"no {name} {strings.describe_condition(string_match)}",
        string_match.at,
        is_match,
        lambda call: [call.with_header(name, None), call.with_header(name, UNMATCHED_VALUE)],
        find_similar,
        describe,
    )


def _make_query_condition(name: str, string_match: StringMatch) -> Condition:
    """Return the condition on a query parameter."""

    def get_value(call: Call) -> str | None:
        return dict(call.query).get(name)

    def is_match(call: Call) -> bool:
        value = get_value(call)
        return value is not None and strings.matches(string_match, value)

    def satisfy(call: Call) -> Iterator[Call]:
        """Yield copies of a call with a query parameter that the condition takes."""
        for value in strings.generate_matches(string_match, "1"):
            if _QUERY_TEXT.fullmatch(value) and _QUERY_TEXT.fullmatch(name):
                yield call.with_query(name, value)

    def find_similar(call: Call) -> Iterator[SimilarCall]:
        yield SimilarCall(f"no query {name}", call.with_query(name, None))
        current = get_value(call) or ""
        values = list(strings.generate_similar_matches(string_match, current))
        if string_match.kind != "present":
            values += strings.generate_near_misses(string_match, current)
        for description, value in values:
            if _QUERY_TEXT.fullmatch(value):
                changed = call.with_query(name, value)
                yield SimilarCall(f"query {name}={shorten(value)} ({description})", changed)

    return Condition(
        f"query {name} {strings.describe_condition(string_match)}",
        string_match.at,
        is_match,
        satisfy,
        find_similar,
        lambda call: f"query {name}={shorten(get_value(call) or '')}",
    )


def _make_source_condition(labels: Labels, at: At) -> Condition:
    """Return the condition on the caller's labels, with calls that meet it and that just miss."""
    text = format_labels(labels)

    def satisfy(call: Call) -> Iterator[Call]:
        """Yield a copy of a call from a workload with the labels; none for one at a gateway."""
        if call.gateway == MESH:  # a client outside the mesh has no labels
            yield replace(call, source=labels)

    def find_similar(call: Call) -> Iterator[SimilarCall]:
        yield SimilarCall("from another workload", replace(call, source=()))
        for label in labels if len(labels) > 1 else ():
            remaining = tuple(pair for pair in labels if pair != label)
            yield SimilarCall(
                f"from a workload without {shorten('='.join(label))}",
                replace(call, source=remaining),
            )

    return Condition(
        f"from a workload with {text}",
        at,
        lambda call: set(labels) <= set(call.source),
        satisfy,
        find_similar,
        lambda call: f"from {shorten(text)}",
    )


def _make_namespace_condition(namespace: str, at: At) -> Condition:
    """Return the condition on the caller's namespace. A client outside the mesh has none."""

    def satisfy(call: Call) -> Iterator[Call]:
        """Yield a copy of a call from the namespace; none for one at a gateway."""
        if call.gateway == MESH:
            yield replace(call, namespace=namespace)

    def find_similar(call: Call) -> Iterator[SimilarCall]:
        other_namespace = "default" if namespace != "default" else UNMATCHED_VALUE
        yield SimilarCall(
            f"from namespace {other_namespace}", replace(call, namespace=other_namespace)
        )

    return Condition(
        f"from namespace {namespace}",
        at,
        lambda call: call.gateway == MESH and call.namespace == namespace,
        satisfy,
        find_similar,
        lambda call: f"from namespace {shorten(call.namespace)}",
    )


def _make_port_condition(port: int, at: At) -> Condition:
    """Return the condition on the port. Each port is its own entrance: no call is similar."""
    return Condition(
        f"on port {port}",
        at,
        lambda call: call.port == port,
        lambda call: [call] if call.port == port else [],
        lambda call: (),
        lambda call: "",
    )


def _make_scheme_condition(string_match: StringMatch) -> Condition:
    """Return the condition on the scheme. Each entrance has one of its own."""
    return Condition(
        f"scheme {strings.describe_condition(string_match)}",
        string_match.at,
        lambda call: strings.matches(string_match, call.scheme),
        lambda call: [call] if strings.matches(string_match, call.scheme) else [],
        lambda call: (),
        lambda call: "",
    )


def _make_gateway_condition(gateways: tuple[str, ...], at: At) -> Condition:
    """Return the condition on the gateway. Each gateway is its own entrance, as each port."""
    return Condition(
        f"through {' or '.join(gateways)}",
        at,
        lambda call: call.gateway in gateways,
        lambda call: [call] if call.gateway in gateways else [],
        lambda call: (),
        lambda call: f"through {shorten(call.gateway)}",
    )
