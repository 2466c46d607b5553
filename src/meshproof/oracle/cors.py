"""The oracle of CORS policies: which origins are allowed, and which headers browsers get.

Nothing here is shared with `mesh/` beyond the model. Sources: Istio reference, VirtualService
(CorsPolicy); Envoy's docs on its CORS filter; Fetch standard, CORS protocol: a preflight is an
OPTIONS request that names the method of the real request.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

from meshproof.oracle import strings
from meshproof.oracle.actions import (
    ExpectedAnswer,
    ExpectedHeaders,
    ProxyReply,
    Variant,
    compute_abort_share,
    expect_answer,
)
from meshproof.oracle.conditions import UNMATCHED_VALUE, Call, shorten
from meshproof.rules.actions import Cors, Fault
from meshproof.rules.model import Match, Route, StringMatch

_ORIGIN = "origin"
_REQUESTED_METHOD = "access-control-request-method"
_REQUESTED_HEADERS = "access-control-request-headers"
_ALLOWED_ORIGIN = "access-control-allow-origin"
#: The maximum number of a policy's origins that are tried.
_MAX_ORIGINS = 6
#: The maximum number of further origins of its prefixes and regexes that are tried.
_MAX_SIMILAR_ORIGINS = 12
#: The maximum number of origins that are tried though a policy does not allow them.
_MAX_FOREIGN_ORIGINS = 40
_EXAMPLE_ORIGIN = "https://shop.example"
_FOREIGN_ORIGIN = f"https://{UNMATCHED_VALUE}.example"
#: What a foreign preflight gets that is not forwarded. Envoy still says the rest of the policy;
#: without the origin no browser heeds it.
_FOREIGN_REPLY = ProxyReply(200, "200", response_headers=((_ALLOWED_ORIGIN, None),))
#: Why the case of an open preflight is not judged.
OPEN_REASON = (
    "who answers this preflight: its fault aborts some of them, and by its corsPolicy the proxy "
    "answers the others"
)
#: Why no request proves what else a route does, where each that it takes is a preflight.
CUT_OFF_REASON = (
    "the timeout, retries and copies of this preflight: by its corsPolicy the proxy answers it"
)


def list_unproven(route: Route, match: Match | None) -> Iterator[str]:
    """Yield in words which parts of a route's policy no request can prove."""
    if route.cors is None:
        return
    if not route.split:
        yield "its corsPolicy: Envoy has none where it redirects or answers by itself"
    elif route.fault is not None:
        yield "its corsPolicy: faults come before it"
    elif match is not None and match.method and not strings.matches(match.method, "OPTIONS"):
        yield "the preflights of its corsPolicy: they are OPTIONS, which its match does not take"


def derive_variants(route: Route, match: Match | None, call: Call) -> Iterator[Variant]:
    """Yield requests and preflights from allowed origins and from a foreign one."""
    policy = route.cors
    if policy is None or route.fault is not None or not route.split:
        return
    origins = list(itertools.islice(_pick_allowed_origins(policy), _MAX_ORIGINS))
    for number, origin in enumerate(origins):
        yield _make_origin_variant(
            route, match, call.with_header(_ORIGIN, origin), _expect_cors_headers(policy, origin)
        )
        if not number:
            preflight = _make_preflight(call.with_header(_ORIGIN, origin), policy)
            if reply := answer_preflight(route, preflight):
                yield Variant(f"preflight from {shorten(origin)}", preflight, reply)
    for origin in itertools.islice(_generate_similar_origins(policy), _MAX_SIMILAR_ORIGINS):
        yield _make_origin_variant(
            route, match, call.with_header(_ORIGIN, origin), _expect_cors_headers(policy, origin)
        )
    foreign_origins = itertools.islice(_generate_foreign_origins(policy), _MAX_FOREIGN_ORIGINS)
    for number, origin in enumerate(foreign_origins):
        changed = call.with_header(_ORIGIN, origin)
        yield _make_origin_variant(route, match, changed, _expect_no_cors_headers(policy))
        if not number:
            yield _make_foreign_preflight(route, match, _make_preflight(changed, policy), policy)


def answer_preflight(route: Route, call: Call) -> ExpectedAnswer | None:
    """Return the proxy's own answer to a preflight, None for a call that goes on to the route.

    Envoy's filter of faults stands before that of CORS: a fault that aborts some calls only leaves
    open which answer it is (see `is_open`).
    """
    reply = _find_reply(route, call)
    if reply is None or compute_abort_share(route):
        return None
    fault = route.fault or Fault()
    delay = fault.delay_seconds if fault.delay_percent == 100 else 0.0
    extra = fault.delay_seconds if fault.delay_percent else 0.0
    return ExpectedAnswer(reply, 1.0, min_seconds=delay, extra_seconds=extra)


def is_open(route: Route, call: Call) -> bool:
    """Say whether a call is a preflight of which a fault aborts some, and the proxy answers some.

    No expected answer holds both.
    """
    return _find_reply(route, call) is not None and 0 < compute_abort_share(route) < 1


def cuts_off_actions(route: Route, call: Call) -> bool:
    """Say whether the proxy answers a call itself, so that some actions of its route do nothing."""
    has_actions = bool(route.timeout or route.retries or route.mirrors)
    return has_actions and answer_preflight(route, call) is not None


def _find_reply(route: Route, call: Call) -> ProxyReply | None:
    """Return the proxy's reply to a preflight that no fault aborts, None for any other call."""
    policy, origin = route.cors, call.header(_ORIGIN)
    if policy is None or not _is_preflight(route, call) or not origin:
        return None
    if any(_allows_origin(condition, origin) for condition in policy.origins):
        return _expect_reply(policy, call, origin)
    return None if policy.forwards_unmatched else _FOREIGN_REPLY


def _is_preflight(route: Route, call: Call) -> bool:
    """Say whether a call is a preflight for a route with a policy that Envoy applies.

    Envoy has none where it redirects or answers by itself.
    """
    return (
        route.cors is not None
        and bool(route.split)
        and call.method == "OPTIONS"
        and bool(call.header(_REQUESTED_METHOD))
    )


def _pick_allowed_origins(policy: Cors) -> Iterator[str]:
    """Yield an origin for each condition on origins, if possible one that no other allows."""
    for condition in policy.origins:
        other_conditions = [candidate for candidate in policy.origins if candidate is not condition]
        origins = (
            [_EXAMPLE_ORIGIN]
            if condition.value == "*"
            else list(strings.generate_matches(condition, _EXAMPLE_ORIGIN))
        )
        origins = list(filter(strings.is_sendable_value, origins))
        unshared = [
            origin
            for origin in origins
            if not any(_allows_origin(candidate, origin) for candidate in other_conditions)
        ]
        yield from (unshared or origins)[:1]


def _generate_similar_origins(policy: Cors) -> Iterator[str]:
    """Yield further origins that the policy allows: at the ends of each prefix and regex."""
    for condition, origin in zip(policy.origins, _pick_allowed_origins(policy), strict=False):
        if condition.value != "*":
            for _, similar in strings.generate_similar_matches(condition, origin):
                if strings.is_sendable_value(similar):
                    yield similar


def _generate_foreign_origins(policy: Cors) -> Iterator[str]:
    """Yield origins that the policy does not allow, near misses first."""
    near_origins = (
        near_miss
        for condition, origin in zip(policy.origins, _pick_allowed_origins(policy), strict=False)
        for near_miss in (
            *(value for _, value in strings.generate_near_misses(condition, origin)),
            *_generate_other_sites(origin),
        )
    )
    for origin in itertools.chain(near_origins, (_FOREIGN_ORIGIN,)):
        if strings.is_sendable_value(origin) and not any(
            _allows_origin(condition, origin) for condition in policy.origins
        ):
            yield origin


def _generate_other_sites(origin: str) -> Iterator[str]:
    """Yield an origin at another port, and one of a name below its host."""
    scheme, mark, authority = origin.partition("://")
    if mark and authority:
        if ":" not in authority:
            yield f"{origin}:8443"
        yield f"{scheme}://x.{authority}"


def _allows_origin(condition: StringMatch, origin: str) -> bool:
    """Say whether a condition allows an origin. A lone `*` allows all (Envoy's docs)."""
    return condition.value == "*" or strings.matches(condition, origin)


def _expect_cors_headers(policy: Cors, origin: str) -> ExpectedHeaders:
    """Return the CORS headers of the answer to an allowed origin."""
    return (
        (_ALLOWED_ORIGIN, origin),
        ("access-control-allow-credentials", "true" if policy.allow_credentials else None),
        ("access-control-expose-headers", ",".join(policy.exposed_headers) or None),
    )


def _expect_no_cors_headers(policy: Cors) -> ExpectedHeaders:
    """Return the headers of the answer to a foreign origin: all of them are absent."""
    return tuple((name, None) for name, _ in _expect_cors_headers(policy, ""))


def _make_origin_variant(
    route: Route, match: Match | None, call: Call, headers: ExpectedHeaders
) -> Variant:
    """Return the request of a page, whose answer has `headers`."""
    expected = expect_answer(route, match, call)
    return Variant(
        f"from {shorten(call.header(_ORIGIN) or '')}",
        call,
        _add_response_headers(expected, headers),
    )


def _add_response_headers(expected: ExpectedAnswer, headers: ExpectedHeaders) -> ExpectedAnswer:
    """Return an answer that also has `headers`."""
    arrivals = tuple(
        replace(
            arrival, response_headers=tuple(sorted({*arrival.response_headers, *headers}, key=str))
        )
        for arrival in expected.arrivals
    )
    return replace(expected, arrivals=arrivals, ignores_shares=True)


def _make_preflight(call: Call, policy: Cors) -> Call:
    """Return the preflight of a call."""
    method, header = (
        next((value for value in allowed if value != "*"), default)
        for allowed, default in ((policy.methods, "GET"), (policy.headers, f"x-{UNMATCHED_VALUE}"))
    )
    preflight = call.with_header(_REQUESTED_METHOD, method).with_header(_REQUESTED_HEADERS, header)
    return replace(preflight, method="OPTIONS")


def _expect_reply(policy: Cors, preflight: Call, origin: str) -> ProxyReply:
    """Return the proxy's reply to a preflight from an allowed origin."""
    headers = (
        *_expect_cors_headers(policy, origin),
        (
            "access-control-allow-methods",
            _format_allowed(policy.methods, preflight.header(_REQUESTED_METHOD)),
        ),
        (
            "access-control-allow-headers",
            _format_allowed(policy.headers, preflight.header(_REQUESTED_HEADERS)),
        ),
        ("access-control-max-age", str(policy.max_age) if policy.max_age is not None else None),
    )
    return ProxyReply(200, "200 to its preflight", response_headers=headers)


def _format_allowed(allowed: tuple[str, ...], requested: str | None) -> str | None:
    """Return a list as a header. For a lone `*` Envoy repeats what was requested."""
    return requested if allowed == ("*",) else ",".join(allowed) or None


def _make_foreign_preflight(route: Route, match: Match | None, call: Call, policy: Cors) -> Variant:
    """Return the preflight from a foreign origin: it is forwarded, or the proxy answers."""
    description = f"preflight from {shorten(call.header(_ORIGIN) or '')}"
    answer = answer_preflight(route, call) or _add_response_headers(
        expect_answer(route, match, call), _expect_no_cors_headers(policy)
    )
    return Variant(description, call, answer)
