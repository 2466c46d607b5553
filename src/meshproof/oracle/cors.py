"""The oracle of CORS policies: pages of which origins may ask, and what their browsers are told.

Nothing here is shared with `mesh/` beyond the model. Sources: Istio reference, VirtualService
(CorsPolicy); Envoy's docs on its CORS filter; Fetch standard, CORS protocol: a preflight is an
OPTIONS request that says which method it is about.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

from meshproof.oracle import strings
from meshproof.oracle.actions import Answer, Reply, Variant, Wanted, answer
from meshproof.oracle.conditions import OTHER, Call, short
from meshproof.rules.actions import Cors
from meshproof.rules.model import Match, Route, StringMatch

_ORIGIN = "origin"
_ASKED = "access-control-request-method"
_HEADERS = "access-control-request-headers"
_ALLOWED = "access-control-allow-origin"
#: So many of the origins of a policy are tried.
_ORIGINS = 6
_PAGE = "https://shop.example"
_OTHER_PAGE = f"https://{OTHER}.example"


def unproven(route: Route, match: Match | None) -> Iterator[str]:
    """Yield in words what of a route's policy no request can show."""
    if route.cors is None:
        return
    if not route.split:
        yield "its corsPolicy: Envoy has none where it redirects or answers by itself"
    elif route.fault is not None:
        yield "its corsPolicy: faults come before it"
    elif match is not None and match.method and not strings.matches(match.method, "OPTIONS"):
        yield "the preflights of its corsPolicy: they are OPTIONS, which its match does not take"


def variants(route: Route, match: Match | None, call: Call) -> Iterator[Variant]:
    """Yield the requests of pages, allowed and others, and what browsers ask before them."""
    policy = route.cors
    if policy is None or route.fault is not None or not route.split:
        return
    allowed = list(itertools.islice(_origins(policy), _ORIGINS))
    for number, origin in enumerate(allowed):
        yield _plain(route, match, call.with_header(_ORIGIN, origin), _told(policy, origin))
        if not number:
            yield from _preflights(policy, call, origin)
    for origin in _others(policy):
        changed = call.with_header(_ORIGIN, origin)
        yield _plain(route, match, changed, _untold(policy))
        yield _unmatched(route, match, _asking(changed, policy), policy)
        break


def _origins(policy: Cors) -> Iterator[str]:
    """Yield an origin for each condition on origins, one that no other allows if there is one."""
    for one in policy.origins:
        others = [other for other in policy.origins if other is not one]
        ways = [_PAGE] if one.value == "*" else list(strings.matching(one, _PAGE))
        ways = list(filter(strings.sendable, ways))
        alone = [way for way in ways if not any(_allows(other, way) for other in others)]
        yield from (alone or ways)[:1]


def _others(policy: Cors) -> Iterator[str]:
    """Yield origins that the policy does not allow, near ones first."""
    near = (
        other
        for one, origin in zip(policy.origins, _origins(policy), strict=False)
        for _, other in strings.missing(one, origin)
    )
    for origin in itertools.chain(near, (_OTHER_PAGE,)):
        if strings.sendable(origin) and not any(_allows(one, origin) for one in policy.origins):
            yield origin


def _allows(wanted: StringMatch, origin: str) -> bool:
    """Say whether a condition takes an origin; a lone `*` takes all (Envoy's docs)."""
    return wanted.value == "*" or strings.matches(wanted, origin)


def _told(policy: Cors, origin: str) -> Wanted:
    """Return what the answer to an allowed page has."""
    return (
        (_ALLOWED, origin),
        ("access-control-allow-credentials", "true" if policy.credentials else None),
        ("access-control-expose-headers", ",".join(policy.exposed) or None),
    )


def _untold(policy: Cors) -> Wanted:
    return tuple((name, None) for name, _ in _told(policy, ""))


def _plain(route: Route, match: Match | None, call: Call, told: Wanted) -> Variant:
    found = answer(route, match, call)
    return Variant(f"from {short(call.header(_ORIGIN) or '')}", call, _with(found, told))


def _with(found: Answer, told: Wanted) -> Answer:
    """Return an answer that also has the headers `told`."""
    arrivals = tuple(
        replace(one, response=tuple(sorted({*one.response, *told}, key=str)))
        for one in found.arrivals
    )
    return replace(found, arrivals=arrivals, unjudged=True)


def _asking(call: Call, policy: Cors) -> Call:
    """Return the preflight of a page's request."""
    method, header = (
        next((one for one in named if one != "*"), other)
        for named, other in ((policy.methods, "GET"), (policy.headers, f"x-{OTHER}"))
    )
    asked = call.with_header(_ASKED, method).with_header(_HEADERS, header)
    return replace(asked, method="OPTIONS")


def _preflights(policy: Cors, call: Call, origin: str) -> Iterator[Variant]:
    asked = _asking(call.with_header(_ORIGIN, origin), policy)
    told = (
        *_told(policy, origin),
        ("access-control-allow-methods", _listed(policy.methods, asked.header(_ASKED))),
        ("access-control-allow-headers", _listed(policy.headers, asked.header(_HEADERS))),
        ("access-control-max-age", str(policy.age) if policy.age is not None else None),
    )
    reply = Reply(200, "200 to its preflight", response=told)
    yield Variant(f"preflight from {short(origin)}", asked, Answer(reply, 1.0))


def _listed(named: tuple[str, ...], asked: str | None) -> str | None:
    """Return what a list says: Envoy answers to a lone `*` with what was asked."""
    return asked if named == ("*",) else ",".join(named) or None


def _unmatched(route: Route, match: Match | None, call: Call, policy: Cors) -> Variant:
    """Return the preflight of a page that is not allowed: it goes on, or ends at the proxy."""
    words = f"preflight from {short(call.header(_ORIGIN) or '')}"
    if policy.forward:
        return Variant(words, call, _with(answer(route, match, call), _untold(policy)))
    return Variant(words, call, Answer(Reply(200, "200", response=_untold(policy)), 1.0))
