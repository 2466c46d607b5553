"""The oracle of actions: how a request must arrive, and which answer must come back.

Nothing here is shared with `mesh/` beyond the model. Source: Istio reference, VirtualService.
Where it leaves something open (which part of a path a rewrite replaces, which port a redirect
names), this follows istiod.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from meshproof.base.names import CLUSTER_DOMAIN, Labels
from meshproof.oracle import strings
from meshproof.oracle.conditions import (
    UNMATCHED_VALUE,
    Call,
    Pairs,
    is_sendable_path,
    list_conditions,
    shorten,
)
from meshproof.rules.actions import GRPC_STATUSES, Fault, HeaderChanges, Redirect, Rewrite
from meshproof.rules.model import Match, Route, StringMatch, Target

#: Headers that instruct an echo workload: delay, fail, or answer with a header. Only cases send
#: them.
DELAY_HEADER = "x-envoy-fault-delay-request"
FAILURE_HEADER = "x-meshproof-fails"
RESPONSE_HEADER_PREFIX = "x-meshproof-answers-"
#: A longer delay (seconds) makes the hundreds of requests of a judge too slow.
MAX_JUDGED_DELAY = 5.0
_SCHEME_PORTS = {"http": 80, "https": 443}
#: Headers that frame a message or belong to one hop: with other values it could not be sent.
_FRAMING_HEADERS = (
    *("connection", "content-length", "expect", "keep-alive", "te", "trailer"),
    *("transfer-encoding", "upgrade"),
)

_CONTENT_TYPE, _GRPC = "content-type", "application/grpc"
#: What Envoy answers in place of a workload (Envoy, fault filter).
_FAULT_BODY = "fault filter abort"


@dataclass(frozen=True)
class Destination:
    """Who must answer: a service or, with labels, one subset of it."""

    host: str
    labels: Labels
    subset: str

    @property
    def owner(self) -> str:
        """The short name of the destination's service; the whole host of one that is no service."""
        return self.host.split(".")[0] if self.host.endswith(CLUSTER_DOMAIN) else self.host

    def __str__(self) -> str:
        return f"{self.owner} {self.subset}".strip()


#: Destination -> its share of the requests (0..1).
Shares = tuple[tuple[Destination, float], ...]
#: Header (lower case) -> its value, None for an absent header. A `%` stands for any value.
ExpectedHeader = tuple[str, str | None]
ExpectedHeaders = tuple[ExpectedHeader, ...]


@dataclass(frozen=True)
class Arrival:
    """How a request must arrive at a destination, and which headers must come back.

    `path` includes the query. Workloads report the first value of a repeated header.
    """

    path: str
    authority: str
    request_headers: ExpectedHeaders = ()
    response_headers: ExpectedHeaders = ()


@dataclass(frozen=True)
class ProxyReply:
    """An answer from the proxy, not from a workload.

    `summary` is the answer in a few words, for ids. An empty `location` and a `body` of None are
    not checked.
    """

    status: int
    summary: str
    location: str = ""
    body: str | None = None
    response_headers: ExpectedHeaders = ()


@dataclass(frozen=True)
class ExpectedAnswer:
    """The expected answer to a request, except who gives it.

    The proxy gives `proxy_reply` for the share `proxy_reply_share` (0..1) of the requests.
    `arrivals` has one entry for each destination of the case, in order. No answer may come before
    `min_seconds`, and an answer may take `extra_seconds` longer than others. `instruction_headers`
    instruct the workload. `mirrors` are destinations of copies, each with its share (0..1).
    `unproven` lists in words what is not checked. With `ignores_shares` the shares are not judged.
    With `delayed_share` above 0 the judge decides which share of the answers takes at least
    `extra_seconds`, and not who answers. With `refuses_tls` there is no answer: the gateway ends
    the connection before. With `is_open` another answer may be as right, and none is wrong.
    """

    proxy_reply: ProxyReply | None = None
    proxy_reply_share: float = 0.0
    arrivals: tuple[Arrival, ...] = ()
    min_seconds: float = 0.0
    extra_seconds: float = 0.0
    instruction_headers: Pairs = ()
    mirrors: tuple[tuple[Destination, float], ...] = ()
    unproven: tuple[str, ...] = ()
    ignores_shares: bool = False
    delayed_share: float = 0.0
    refuses_tls: bool = False
    is_open: bool = False


@dataclass(frozen=True)
class Variant:
    """A further request that proves an action, its answer, and how it differs, in words."""

    description: str
    call: Call
    answer: ExpectedAnswer


def expect_answer(route: Route, match: Match | None, call: Call) -> ExpectedAnswer:
    """Return the expected answer to a call that a route takes because of a match."""
    fault = route.fault or Fault()
    reply, replied = _expect_proxy_reply(route, match, call), 1.0
    if reply is None:
        replied = compute_abort_share(route)
        reply = _expect_abort(fault, call) if replied else None
    arrivals = tuple(
        _expect_arrival(route, targets, match, call)
        for targets in group_by_destination(route).values()
    )
    certain_delay = fault.delay_seconds if fault.delay_percent == 100 else 0.0
    return ExpectedAnswer(
        proxy_reply=reply,
        proxy_reply_share=replied if reply else 0.0,
        arrivals=arrivals if replied < 1 else (),
        min_seconds=certain_delay,
        extra_seconds=fault.delay_seconds if fault.delay_percent else 0.0,
        ignores_shares=bool(fault.delay_percent) and fault.delay_seconds > MAX_JUDGED_DELAY,
    )


def _expect_abort(fault: Fault, call: Call) -> ProxyReply:
    """Return the reply of a fault that aborts a call.

    Callers of gRPC get its status in a header; to others Envoy tells by the body that it is a
    fault. Source: Envoy's docs on the HTTP fault filter; gRPC over HTTP2, Responses.
    """
    if not fault.abort_grpc:
        return ProxyReply(fault.abort_status, str(fault.abort_status))
    summary = f"gRPC {fault.abort_grpc}"
    if call.header(_CONTENT_TYPE) != _GRPC:
        return ProxyReply(fault.abort_status, summary, body=_FAULT_BODY)
    status = str(GRPC_STATUSES.index(fault.abort_grpc))
    return ProxyReply(fault.abort_status, summary, response_headers=(("grpc-status", status),))


def compute_abort_share(route: Route) -> float:
    """Return the share (0..1) of a route's requests that its fault aborts."""
    return route.fault.abort_percent / 100 if route.fault and route.fault.abort_status else 0.0


def expect_passthrough(call: Call) -> ExpectedAnswer:
    """Return the expected answer to a call that passes unchanged."""
    return ExpectedAnswer(arrivals=(Arrival(call.request_target, call.host_header),))


def group_by_destination(route: Route) -> dict[Destination, list[Target]]:
    """Return the targets of a route's split by the destination that answers for them."""
    targets_by_destination: dict[Destination, list[Target]] = {}
    for target in route.split:
        targets_by_destination.setdefault(to_destination(target), []).append(target)
    return targets_by_destination


def compute_shares(route: Route, total_share: float) -> Shares:
    """Return the share of each destination of a route; the shares sum to `total_share`."""
    if not total_share:
        return ()
    total_weight = sum(target.weight for target in route.split)
    return tuple(
        (destination, total_share * sum(target.weight for target in targets) / total_weight)
        for destination, targets in group_by_destination(route).items()
    )


def to_destination(target: Target) -> Destination:
    """Return the destination that answers for a target."""
    return Destination(target.host, target.labels, target.subset)


def derive_variants(route: Route, match: Match | None, call: Call) -> Iterator[Variant]:
    """Yield the further requests that prove header changes and mirrors of a route."""
    expected = expect_answer(route, match, call)
    if route.fault is not None and route.fault.abort_grpc and expected.proxy_reply_share:
        as_grpc = call.with_header(_CONTENT_TYPE, _GRPC)
        yield Variant("as gRPC", as_grpc, expect_answer(route, match, as_grpc))
    if changed_names := _list_changed_headers(route):
        yield from _derive_preset_headers(route, match, call, changed_names)
    if (route.redirect or route.rewrite) and not call.query:
        with_query = call.with_query(UNMATCHED_VALUE, "1")
        kept = replace(expect_answer(route, match, with_query), ignores_shares=True)
        yield Variant("with a query", with_query, kept)
    if expected.proxy_reply_share == 1:
        return
    for path in list_rewritten_paths(route, match, call):
        to_path = replace(call, path=path)
        rewritten = replace(expect_answer(route, match, to_path), ignores_shares=True)
        yield Variant(f"path {shorten(path)}, which its pattern takes", to_path, rewritten)
    for path in list_unrewritten_paths(route, match, call):
        to_path = replace(call, path=path)
        kept = replace(expect_answer(route, match, to_path), ignores_shares=True)
        yield Variant(f"path {shorten(path)}, which its pattern just misses", to_path, kept)
    mirrors = tuple(
        (to_destination(mirror.target), mirror.percent / 100) for mirror in route.mirrors
    )
    for target, share in mirrors:
        if share and not expected.proxy_reply_share:
            portion = "" if share == 1 else f" for {share * 100:.4g} %"
            changed = replace(expected, mirrors=((target, share),), ignores_shares=True)
            yield Variant(f"mirrored to {target}{portion}", call, changed)


def list_unproven(route: Route, match: Match | None, call: Call) -> Iterator[str]:
    """Yield in words which actions of a route no request proves."""
    if route.rewrite and route.rewrite.pattern and not list_rewritten_paths(route, match, call):
        yield "its uriRegexRewrite: no path was found that its pattern takes"
    destinations = group_by_destination(route)
    if len(destinations) == 1 < len(route.split):
        (destination,) = destinations
        yield f"its split: all {len(route.split)} of its destinations are {destination}"


def list_rewritten_paths(route: Route, match: Match | None, call: Call) -> list[str]:
    """Return paths of calls that a match takes and whose path uriRegexRewrite changes."""
    pattern = _get_rewrite_pattern(route)
    if pattern is None:
        return []
    return strings.generate_paths_with(pattern, call.path, _make_path_test(match, call))


def list_unrewritten_paths(route: Route, match: Match | None, call: Call) -> list[str]:
    """Return paths of calls that a match takes and that the pattern of a rewrite just misses."""
    pattern = _get_rewrite_pattern(route)
    if pattern is None:
        return []
    is_taken = _make_path_test(match, call)
    rewritten = strings.generate_paths_with(pattern, call.path, is_taken)
    return strings.generate_paths_beside(pattern, call.path, rewritten, is_taken)


def _get_rewrite_pattern(route: Route) -> StringMatch | None:
    """Return the pattern of a route's uriRegexRewrite, None without one."""
    rewrite = route.rewrite
    if rewrite is None or not rewrite.pattern or not route.split:
        return None
    return StringMatch("regex", rewrite.pattern, rewrite.at)


def _make_path_test(match: Match | None, call: Call) -> Callable[[str], bool]:
    """Return the function that says whether a match takes a call with another path."""
    conditions = list_conditions(match) if match else []

    def is_taken(path: str) -> bool:
        changed = replace(call, path=path)
        return is_sendable_path(path) and all(condition.holds(changed) for condition in conditions)

    return is_taken


def _expect_proxy_reply(route: Route, match: Match | None, call: Call) -> ProxyReply | None:
    """Return the redirect or direct response of a route, None without one."""
    response = _change_headers(route.headers.response, {})
    if route.redirect is not None:
        code, location = route.redirect.code, _build_location(route.redirect, match, call)
        summary = (
            location if route.redirect.authority or route.redirect.scheme else route.redirect.uri
        )
        return ProxyReply(
            code, f"{code} to {shorten(summary or location)}", location, None, response
        )
    if route.direct_response is not None:
        status = route.direct_response.status
        is_empty = call.method == "HEAD" or status in (204, 304)
        body = "" if is_empty else route.direct_response.body
        return ProxyReply(status, str(status), body=body, response_headers=response)
    return None


def _build_location(redirect: Redirect, match: Match | None, call: Call) -> str:
    """Return the URL of a redirect, without a port that its scheme implies."""
    request_host, _, request_port = call.host_header.partition(":")
    scheme = redirect.scheme or call.scheme
    port = call.port if redirect.use_request_port else redirect.port
    if port == _SCHEME_PORTS[scheme]:
        port = None  # istiod leaves it out, and then Envoy keeps that of the request
    usual_port = str(_SCHEME_PORTS[call.scheme])
    if port is None and not redirect.authority and request_port not in ("", usual_port):
        port = int(request_port)
    authority = redirect.authority or request_host
    if port is not None and port != _SCHEME_PORTS[scheme]:
        authority += f":{port}"
    path, _, query = call.request_target.partition("?")
    if redirect.prefix:  # istiod: also `//x` for a `/`
        path = redirect.prefix + path[_measure_prefix(match) :]
    path = redirect.uri or path
    slash = "" if path.startswith("/") else "/"  # Envoy puts it before a path without one
    return f"{scheme}://{authority}{slash}{_append_query(path, query)}"


def _measure_prefix(match: Match | None) -> int:
    """Return the length of the prefix that a match takes: a slash for one without a path."""
    if match and match.uri:
        return len(match.uri.value)
    return 0 if match and match.has_empty_prefix else 1


def _append_query(path: str, query: str) -> str:
    """Return the path with the query, unless it has its own."""
    return f"{path}?{query}" if query and "?" not in path else path


def _expect_arrival(
    route: Route, targets: list[Target], match: Match | None, call: Call
) -> Arrival:
    """Return how a call arrives at targets of one destination: what they all have in common."""
    request_headers = [_change_request_headers(route, target, call) for target in targets]
    response_headers = [_change_response_headers(route, target, call) for target in targets]
    path, authority = call.request_target, call.host_header
    if route.rewrite is not None:
        path, authority = _rewrite(route.rewrite, match, call)
    return Arrival(
        path,
        authority,
        tuple(sorted(set.intersection(*request_headers), key=str)),
        tuple(sorted(set.intersection(*response_headers), key=str)),
    )


def _change_request_headers(route: Route, target: Target, call: Call) -> set[ExpectedHeader]:
    """Return each header that is changed on the way to a target, as it arrives."""
    return {
        pair
        for changes in (route.headers.request, target.headers.request)
        for pair in _change_headers(changes, dict(call.headers))
    }


def _change_response_headers(route: Route, target: Target, call: Call) -> set[ExpectedHeader]:
    """Return each header that is changed on the way back, as it comes back."""
    answered_headers = {
        name.removeprefix(RESPONSE_HEADER_PREFIX): value
        for name, value in call.headers
        if name.startswith(RESPONSE_HEADER_PREFIX)
    }
    return {
        pair
        for changes in (route.headers.response, target.headers.response)
        for pair in _change_headers(changes, answered_headers, join_values=True)
    }


def _rewrite(rewrite: Rewrite, match: Match | None, call: Call) -> tuple[str, str]:
    """Return the path, with the query of the call, and the authority after a rewrite.

    A regex rewrite replaces what its pattern matches. A `uri` replaces the prefix of the match, or
    the whole path after an exact or regex match; a match without a path counts as prefix /.
    """
    path, condition = call.path, match.uri if match else None
    if rewrite.pattern:
        pattern = StringMatch("regex", rewrite.pattern, rewrite.at)
        path = strings.replace_matches(pattern, rewrite.substitution, path)
    elif rewrite.uri and condition is not None and condition.kind == "path_prefix":
        path = strings.replace_prefix(condition.value, rewrite.uri, path)
    elif rewrite.uri:
        is_whole_path = condition is not None and condition.kind != "prefix"
        path = rewrite.uri + ("" if is_whole_path else path[_measure_prefix(match) :])
    _, mark, query = call.request_target.partition("?")
    return f"{path}{mark}{query}", rewrite.authority or call.host_header


def _change_headers(
    changes: HeaderChanges, headers: dict[str, str], join_values: bool = False
) -> ExpectedHeaders:
    """Return the changed headers with their new values.

    Of a header that is added to, the first value counts, with `join_values` all of them.
    """
    changed: dict[str, str | None] = dict.fromkeys(changes.remove)
    changed |= dict(changes.set)
    for name, value in changes.add:
        value_before = headers.get(name)
        if value_before is None:
            changed[name] = value
        else:
            changed[name] = f"{value_before}, {value}" if join_values else value_before
    return tuple(changed.items())


def _list_changed_headers(route: Route) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Return the names of changed request headers and response headers, None without any."""
    all_headers = route.all_headers
    request_names = dict.fromkeys(name for headers in all_headers for name in headers.request.names)
    response_names = dict.fromkeys(
        name for headers in all_headers for name in headers.response.names
    )
    if route.redirect or route.direct_response:
        return None
    return (
        (tuple(request_names), tuple(response_names)) if request_names or response_names else None
    )


def _derive_preset_headers(
    route: Route,
    match: Match | None,
    call: Call,
    changed_names: tuple[tuple[str, ...], tuple[str, ...]],
) -> Iterator[Variant]:
    """Yield a request that already has the headers that change, and whose answer has them."""
    request_names, response_names = changed_names
    preset_names = [
        name for name in request_names if call.header(name) is None and name not in _FRAMING_HEADERS
    ]
    response_names = tuple(name for name in response_names if name not in _FRAMING_HEADERS)
    changed = call
    for name in (*preset_names, *(f"{RESPONSE_HEADER_PREFIX}{name}" for name in response_names)):
        changed = changed.with_header(name, UNMATCHED_VALUE)
    if preset_names or response_names:
        description = (
            f"{shorten(', '.join(dict.fromkeys((*preset_names, *response_names))))} already there"
        )
        expected = expect_answer(route, match, changed)
        yield Variant(description, changed, replace(expected, ignores_shares=True))
