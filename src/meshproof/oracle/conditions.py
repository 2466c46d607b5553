"""One condition of a match at a time: whether it holds, calls that satisfy it, calls that miss it.

Part of the oracle: nothing here is shared with `mesh/`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from meshproof.base.names import CLUSTER_DOMAIN, MESH, Labels
from meshproof.documents.manifest import At
from meshproof.oracle import strings
from meshproof.rules.model import Match, StringMatch

Pairs = tuple[tuple[str, str], ...]
#: A header, value or path that no sensible rule asks for.
UNMATCHED_VALUE = "meshproof-other"
_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
#: Paths that reach Envoy as they are: no character that a client encodes, no dots to resolve.
_SENDABLE_PATH = re.compile(r"/(?:[\w.~!$&'()*+,;=:@/-]|%[0-9A-F]{2})*", re.A)
_DOT_SEGMENT = re.compile(r"/\.{1,2}(?:/|$)")
#: Names of headers (RFC 9110, section 5.6.2).
_HEADER_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.A)
#: Query values that mean the same whether or not they are decoded.
_QUERY_TEXT = re.compile(r"[\w.~!$'()*,;:@/?-]+", re.A)
#: Values that are too long to be read in an id are cut.
_MAX_ID_LENGTH = 48


@dataclass(frozen=True)
class Call:
    """A request as the rules see it.

    `host` is the full name of the service that is called (or the host of a rule at a gateway),
    `port` its port (or the gateway's), `authority` what the Host header says ("": host and port),
    `source` are the labels of the calling workload and `namespace` is its own, `gateway` is where
    the call comes in (`mesh`: from a sidecar). Header names are lower case.
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

    def header(self, name: str) -> str | None:
        """Return the value of a header, None when it is absent."""
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
        """Return the call with a header set, or left out for None."""
        return replace(self, headers=_set_pair(self.headers, name, value))

    def with_query(self, name: str, value: str | None) -> Call:
        """Return the call with a query parameter set, or left out for None."""
        return replace(self, query=_set_pair(self.query, name, value))


def _set_pair(pairs: Pairs, name: str, value: str | None) -> Pairs:
    kept = [pair for pair in pairs if pair[0] != name]
    return tuple(sorted(kept if value is None else [*kept, (name, value)]))


@dataclass(frozen=True)
class SimilarCall:
    """A call beside one that satisfies a condition, and what it is about in words."""

    description: str
    call: Call


@dataclass(frozen=True)
class Condition:
    """One condition: what it says, whether it holds, calls that satisfy it, calls beside those.

    `told` names what a call has for it (`cookie user=burr`), nothing where its place says it.
    `near` are calls that miss it, and such as look much like one that does (a cookie among others).
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
    found: list[Condition] = []
    if match.gateways:
        found.append(_gateway_condition(match.gateways, match.at))
    if match.source:
        found.append(_source_condition(match.source, match.at))
    if match.source_namespace:
        found.append(_namespace_condition(match.source_namespace, match.at))
    if match.port is not None:
        found.append(_port_condition(match.port, match.at))
    if match.scheme is not None:
        found.append(_scheme_condition(match.scheme))
    if match.uri is not None:
        found.append(_path_condition(match.uri, match.ignore_uri_case))
    if match.method is not None:
        found.append(_method_condition(match.method))
    if match.authority is not None:
        found.append(_authority_condition(match.authority))
    found += [_header_condition(name, value) for name, value in match.headers]
    found += [_without_header_condition(name, value) for name, value in match.without_headers]
    found += [_query_condition(name, value) for name, value in match.query]
    return found


def _path_condition(wanted: StringMatch, ignore_case: bool) -> Condition:
    lower = replace(wanted, value=wanted.value.lower())
    fold = ignore_case and wanted.kind != "regex"  # Istio reference, HTTPMatchRequest

    def test(value: str) -> bool:
        return strings.matches(lower, value.lower()) if fold else strings.matches(wanted, value)

    def satisfied(call: Call) -> Iterator[Call]:
        for path in filter(is_sendable_path, strings.generate_matches(wanted, "/")):
            if fold:
                yield replace(call, path=path.swapcase())
            yield replace(call, path=path)

    def near(call: Call) -> Iterator[SimilarCall]:
        others = list(strings.generate_similar_matches(wanted, call.path))
        others += [("in other case", call.path.swapcase())] if fold else []
        others += strings.generate_near_misses(wanted, call.path, test)
        for words, path in others:
            if is_sendable_path(path):
                yield SimilarCall(f"path {shorten(path)} ({words})", replace(call, path=path))

    return Condition(
        f"path {strings.describe_condition(wanted)}{' in any case' if ignore_case else ''}",
        wanted.at,
        lambda call: test(call.path),
        satisfied,
        near,
        lambda call: f"path {shorten(call.path)}",
    )


def is_sendable_path(path: str) -> bool:
    """Say whether a path reaches Envoy as it is written."""
    return _SENDABLE_PATH.fullmatch(path) is not None and not _DOT_SEGMENT.search(path)


def _method_condition(wanted: StringMatch) -> Condition:
    def satisfied(call: Call) -> Iterator[Call]:
        for method in _METHODS:
            if strings.matches(wanted, method):
                yield replace(call, method=method)

    def near(call: Call) -> Iterator[SimilarCall]:
        others = (one for one in _METHODS if not strings.matches(wanted, one))
        for method in itertools.islice(others, 2):
            yield SimilarCall(f"method {method}", replace(call, method=method))

    return Condition(
        f"method {strings.describe_condition(wanted)}",
        wanted.at,
        lambda call: strings.matches(wanted, call.method),
        satisfied,
        near,
        lambda call: f"method {call.method}",
    )


def _authority_condition(wanted: StringMatch) -> Condition:
    def of(call: Call, holds: bool) -> Iterator[Call]:
        for name in _host_names(call):
            if strings.matches(wanted, name) is holds:
                yield replace(call, authority=name)

    def near(call: Call) -> Iterator[SimilarCall]:
        for other in itertools.islice(of(call, False), 2):
            yield SimilarCall(f"authority {shorten(other.authority)}", other)

    return Condition(
        f"authority {strings.describe_condition(wanted)}",
        wanted.at,
        lambda call: strings.matches(wanted, call.host_header),
        lambda call: of(call, True),
        near,
        lambda call: f"authority {shorten(call.host_header)}",
    )


def _host_names(call: Call) -> Iterator[str]:
    """Yield the names by which the host of a call is reached; others never get to its rules."""
    yield call.host_header
    if call.gateway != MESH or not call.host.endswith(CLUSTER_DOMAIN):
        if ":" not in call.host_header:
            yield f"{call.host_header}:{call.port}"
        return
    name, _, rest = call.host.removesuffix(f".{CLUSTER_DOMAIN}").partition(".")
    names = [f"{name}.{rest}", f"{name}.{rest}.svc", call.host]
    names = [name, *names] if rest == call.namespace else names
    yield from names if call.port == 80 else ()
    yield from (f"{one}:{call.port}" for one in names)


def _header_condition(name: str, wanted: StringMatch) -> Condition:
    def test(call: Call) -> bool:
        value = call.header(name)
        return value is not None and strings.matches(wanted, value)

    def satisfied(call: Call) -> Iterator[Call]:
        if _HEADER_NAME.fullmatch(name):
            for one in strings.generate_matches(wanted, "1"):
                if strings.is_sendable_value(one):
                    yield call.with_header(name, one)

    def near(call: Call) -> Iterator[SimilarCall]:
        yield SimilarCall(f"no {name}", call.with_header(name, None))
        value = call.header(name) or ""
        others = list(strings.generate_similar_matches(wanted, value))
        others += [] if wanted.kind == "present" else strings.generate_near_misses(wanted, value)
        if name == "cookie":
            others += strings.generate_cookie_variants(value)
        for words, other in others:
            yield SimilarCall(f"{name} {shorten(other)} ({words})", call.with_header(name, other))

    return Condition(
        f"{name} {strings.describe_condition(wanted)}",
        wanted.at,
        test,
        satisfied,
        near,
        lambda call: f"{name} {shorten(call.header(name) or '')}",
    )


def _without_header_condition(name: str, wanted: StringMatch) -> Condition:
    """Return the condition of withoutHeaders: an absent header counts as an empty one."""

    def test(call: Call) -> bool:
        value = call.header(name)
        if wanted.kind == "present":
            return value is None
        return not strings.matches(wanted, value or "")

    def near(call: Call) -> Iterator[SimilarCall]:
        for value in itertools.islice(strings.generate_matches(wanted, "1"), 1):
            yield SimilarCall(f"{name} {shorten(value)}", call.with_header(name, value))
        yield SimilarCall(f"{name} {UNMATCHED_VALUE}", call.with_header(name, UNMATCHED_VALUE))

    def told(call: Call) -> str:
        value = call.header(name)
        return f"no {name}" if value is None else f"{name} {shorten(value)}"

    return Condition(
        f"no {name} {strings.describe_condition(wanted)}",
        wanted.at,
        test,
        lambda call: [call.with_header(name, None), call.with_header(name, UNMATCHED_VALUE)],
        near,
        told,
    )


def _query_condition(name: str, wanted: StringMatch) -> Condition:
    def value(call: Call) -> str | None:
        return dict(call.query).get(name)

    def test(call: Call) -> bool:
        found = value(call)
        return found is not None and strings.matches(wanted, found)

    def satisfied(call: Call) -> Iterator[Call]:
        for one in strings.generate_matches(wanted, "1"):
            if _QUERY_TEXT.fullmatch(one) and _QUERY_TEXT.fullmatch(name):
                yield call.with_query(name, one)

    def near(call: Call) -> Iterator[SimilarCall]:
        yield SimilarCall(f"no query {name}", call.with_query(name, None))
        if wanted.kind != "present":
            found = value(call) or ""
            near = [
                *strings.generate_similar_matches(wanted, found),
                *strings.generate_near_misses(wanted, found),
            ]
            for words, other in near:
                if _QUERY_TEXT.fullmatch(other):
                    changed = call.with_query(name, other)
                    yield SimilarCall(f"query {name}={shorten(other)} ({words})", changed)

    return Condition(
        f"query {name} {strings.describe_condition(wanted)}",
        wanted.at,
        test,
        satisfied,
        near,
        lambda call: f"query {name}={shorten(value(call) or '')}",
    )


def _source_condition(wanted: Labels, at: At) -> Condition:
    words = ",".join(f"{key}={value}" for key, value in wanted)

    def satisfied(call: Call) -> Iterator[Call]:
        if call.gateway == MESH:  # whoever calls a gateway has no labels
            yield replace(call, source=wanted)

    return Condition(
        f"from a workload with {words}",
        at,
        lambda call: set(wanted) <= set(call.source),
        satisfied,
        lambda call: [SimilarCall("from another workload", replace(call, source=()))],
        lambda call: f"from {shorten(words)}",
    )


def _namespace_condition(wanted: str, at: At) -> Condition:
    """Return the condition on the caller's namespace; whoever calls a gateway has none."""

    def satisfied(call: Call) -> Iterator[Call]:
        if call.gateway == MESH:
            yield replace(call, namespace=wanted)

    def near(call: Call) -> Iterator[SimilarCall]:
        other = "default" if wanted != "default" else UNMATCHED_VALUE
        yield SimilarCall(f"from namespace {other}", replace(call, namespace=other))

    return Condition(
        f"from namespace {wanted}",
        at,
        lambda call: call.gateway == MESH and call.namespace == wanted,
        satisfied,
        near,
        lambda call: f"from namespace {shorten(call.namespace)}",
    )


def _port_condition(wanted: int, at: At) -> Condition:
    """Return the condition on the port that is asked: each has its own place, so none is near."""
    return Condition(
        f"on port {wanted}",
        at,
        lambda call: call.port == wanted,
        lambda call: [call] if call.port == wanted else [],
        lambda call: (),
        lambda call: "",
    )


def _scheme_condition(wanted: StringMatch) -> Condition:
    """Return the condition on the scheme: requests are plain HTTP here, all of them."""
    return Condition(
        f"scheme {strings.describe_condition(wanted)}",
        wanted.at,
        lambda call: strings.matches(wanted, "http"),
        lambda call: [call] if strings.matches(wanted, "http") else [],
        lambda call: (),
        lambda call: "",
    )


def _gateway_condition(wanted: tuple[str, ...], at: At) -> Condition:
    return Condition(
        f"through {' or '.join(wanted)}",
        at,
        lambda call: call.gateway in wanted,
        lambda call: [call] if call.gateway in wanted else [],
        lambda call: (),
        lambda call: f"through {shorten(call.gateway)}",
    )
