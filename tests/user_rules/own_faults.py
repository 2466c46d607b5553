"""A pytest plugin that makes the translation wrong: `-p own_faults --own-fault "60/40"`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from meshproof.base.names import sort_labels
from meshproof.documents.manifest import At
from meshproof.mesh.envoy import actions, listeners, pod_hashes, translate
from meshproof.mesh.envoy.listeners import TlsChain
from meshproof.mesh.envoy.matching import translate_match
from meshproof.rules.actions import HeaderChanges, Headers
from meshproof.rules.model import Match, PodHash, Route, RouteTable, Server, StringMatch, TlsMode

Plant = Callable[[pytest.MonkeyPatch], None]


def matched(doctor: Callable[[Match], Match]) -> Plant:
    """Serve another match in the place of each."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        def wrong(match: Match | None) -> Any:
            return translate_match(doctor(match) if match else None)

        patch.setattr(translate, "translate_match", wrong)

    return plant


def sent(doctor: Callable[[Route], Route]) -> Plant:
    """Serve another route in the place of each."""
    table = translate._translate_route

    def plant(patch: pytest.MonkeyPatch) -> None:
        def wrong(snapshot: translate.Snapshot, route: Route, *rest: Any, **options: Any) -> Any:
            return table(snapshot, doctor(route), *rest, **options)

        patch.setattr(translate, "_translate_route", wrong)

    return plant


def first_route_last(patch: pytest.MonkeyPatch) -> None:
    tables = translate._translate_routes
    patch.setattr(translate, "_translate_routes", lambda *given: list(reversed(tables(*given))))


def swapped(first: int, second: int) -> Plant:
    """Serve two routes of every rule in each other's place."""
    tables = translate._translate_routes

    def plant(patch: pytest.MonkeyPatch) -> None:
        def wrong(snapshot: translate.Snapshot, rule: RouteTable, caller: Any) -> Any:
            routes = list(rule.routes)
            routes[first], routes[second] = routes[second], routes[first]
            return tables(snapshot, replace(rule, routes=tuple(routes)), caller)

        patch.setattr(translate, "_translate_routes", wrong)

    return plant


def as_in_the_file(patch: pytest.MonkeyPatch) -> None:
    """Try routes in the order in which they are written."""
    tables = translate._translate_routes

    def wrong(snapshot: translate.Snapshot, rule: RouteTable, *rest: Any) -> Any:
        return tables(snapshot, replace(rule, routes=tuple(sorted(rule.routes, key=_line))), *rest)

    patch.setattr(translate, "_translate_routes", wrong)


def _line(route: Route) -> int:
    return route.at.line


def moved_by_letters(patch: pytest.MonkeyPatch) -> None:
    """Replace a prefix as if it were no path."""
    patch.setattr(actions, "_replace_prefix", lambda match, to: {"prefix_rewrite": to})


def elements_as_letters(match: Match) -> Match:
    whole = match.uri and match.uri.kind == "path_prefix"
    return replace(match, uri=replace(match.uri, kind="prefix")) if whole and match.uri else match


def callers_ignored(patch: pytest.MonkeyPatch) -> None:
    right = translate._Caller.can_match

    def wrong(caller: Any, match: Match | None) -> bool:
        return right(caller, replace(match, source=()) if match else None)

    patch.setattr(translate._Caller, "can_match", wrong)


def prefix_as_exact(match: Match) -> Match:
    prefix = match.uri and match.uri.kind == "prefix"
    return replace(match, uri=replace(match.uri, kind="exact")) if prefix and match.uri else match


def open_ended(match: Match) -> Match:
    def widened(one: StringMatch) -> StringMatch:
        return replace(one, value=f"{one.value}.*") if one.kind == "regex" else one

    return replace(
        match,
        uri=widened(match.uri) if match.uri else None,
        headers=tuple((name, widened(one)) for name, one in match.headers),
    )


def broken(match: Match) -> Match:
    regex = match.uri and match.uri.kind == "regex"
    return (
        replace(match, uri=replace(match.uri, value="/[0-9]+(")) if regex and match.uri else match
    )


def weighted(*weights: int) -> Callable[[Route], Route]:
    """Give a split of several other weights."""

    def doctor(route: Route) -> Route:
        if len(route.split) < 2:
            return route
        pairs = zip(route.split, weights, strict=True)
        return replace(route, split=tuple(replace(one, weight=weight) for one, weight in pairs))

    return doctor


def canary_for_all(match: Match) -> Match:
    kept = tuple(one for one in match.headers if one[0] != "x-canary")
    return replace(match, headers=kept)


def default_to_v3(route: Route) -> Route:
    if route.matches:
        return route
    version = sort_labels({"version": "v3"})
    return replace(
        route, split=tuple(replace(one, labels=version, subset_name="") for one in route.split)
    )


def by_name(doctors: dict[str, Callable[[Route], Route]]) -> Callable[[Route], Route]:
    """Doctor each route of actions.yaml by its name."""

    def doctor(route: Route) -> Route:
        return doctors[route.name](route) if route.name in doctors else route

    return doctor


def part(name: str, **changes: Any) -> Callable[[Route], Route]:
    """Change fields of one of a route's actions."""

    def doctor(route: Route) -> Route:
        action: Any = getattr(route, name)
        changed: Any = replace(action, **changes)
        return replace(route, **{name: changed})

    return doctor


def without(name: str, value: Any = None) -> Callable[[Route], Route]:
    return lambda route: replace(route, **{name: value})


def set_as_add(route: Route) -> Route:
    """Every value that is set is added instead."""

    def changed(one: HeaderChanges) -> HeaderChanges:
        return replace(one, set=(), add=one.set + one.add)

    headers = Headers(changed(route.headers.request), changed(route.headers.response))
    return replace(route, headers=headers)


def add_as_set(route: Route) -> Route:
    def changed(one: HeaderChanges) -> HeaderChanges:
        return replace(one, set=one.set + one.add, add=())

    headers = Headers(changed(route.headers.request), changed(route.headers.response))
    return replace(route, headers=headers)


def own_headers_swapped(route: Route) -> Route:
    first, second = route.split
    return replace(
        route,
        split=(replace(first, headers=second.headers), replace(second, headers=first.headers)),
    )


def even(route: Route) -> Route:
    return replace(route, split=tuple(replace(one, weight=1) for one in route.split))


def without_own_headers(route: Route) -> Route:
    return replace(route, split=tuple(replace(one, headers=Headers()) for one in route.split))


def mirror_to_v1(route: Route) -> Route:
    (mirror,) = route.mirrors
    target = replace(mirror.target, labels=sort_labels({"version": "v1"}), subset_name="")
    return replace(route, mirrors=(replace(mirror, target=target),))


def mirrored_twice(route: Route) -> Route:
    return replace(route, mirrors=route.mirrors * 2)


def cors(route: Route, **changes: Any) -> Route:
    return part("cors", **changes)(route)


def origins(route: Route) -> tuple[StringMatch, ...]:
    assert route.cors
    return route.cors.origins


#: Takes origins that only begin like the one that is meant.
WEAK = StringMatch("prefix", "https://a.exampl", At("own_faults", 1))

#: Route -> what is wrong with its action, one at a time; see `test_own_actions.py`.
ACTIONS: dict[str, dict[str, Callable[[Route], Route]]] = {
    "actions, first": {
        "moved": part("redirect", code=301),
        "elsewhere": part("redirect", port=None),
        "teapot": part("direct_response", body="tall and stout"),
        "api": part("rewrite", uri="/v2"),
        "whole path": without("rewrite"),
        "by regex": part("rewrite", substitution=r"/\1"),
        "headers": set_as_add,
        "aborted": part("fault", abort_status=500),
        "sometimes aborted": part("fault", abort_percent=60.0),
        "delayed": part("fault", delay_seconds=0.1),
        "timeout": without("timeout"),
        "retries": part("retries", attempts=2),
        "mirrored": without("mirrors", ()),
    },
    "actions, second": {
        "moved": part("redirect", uri="/newer"),
        "elsewhere": part("redirect", scheme=""),
        "teapot": without("headers", Headers()),
        "api": part("rewrite", authority=""),
        "headers": own_headers_swapped,
        "aborted": without("fault"),
        "sometimes aborted": part("fault", abort_status=503),
        "delayed": without("fault"),
        "timeout": without("timeout", 0.1),
        "retries": part("retries", attempts=4),
        "mirrored": mirror_to_v1,
    },
    "actions, third": {
        "elsewhere": part("redirect", authority=""),
        "teapot": part("direct_response", status=200),
        "headers": add_as_set,
        "partly mirrored": lambda route: replace(
            route, mirrors=(replace(route.mirrors[0], percent=70.0),)
        ),
        "retries": part("retries", conditions=("reset",)),
    },
    "mirrors, first": {"first": without("mirrors", ()), "second": mirrored_twice},
    "mirrors, second": {"first": mirrored_twice, "second": without("mirrors", ())},
    "times, first": {
        "sometimes late": part("fault", delay_percent=60.0),
        "long": without("timeout", 14.0),
    },
    "times, second": {
        "sometimes late": part("fault", delay_seconds=0.1),
        "long": without("timeout"),
        "late split": weighted(40, 60),
    },
    "cors, first": {
        "api": lambda route: cors(route, origins=origins(route)[:2], methods=("POST",)),
        "ignoring": part("cors", forwards_unmatched=True),
    },
    "cors, second": {
        "api": part("cors", exposed_headers=()),
        "gets": part("cors", origins=()),
        "anything": part("cors", headers=("x-a",)),
        "old": part("cors", methods=("POST",)),
    },
    "cors, third": {
        "api": lambda route: cors(
            route, origins=(WEAK, *origins(route)[1:]), allow_credentials=None
        ),
    },
    "cors, fourth": {"api": part("cors", headers=("x-a",), max_age=3600, forwards_unmatched=False)},
    "actions, fourth": {
        "headers": lambda route: replace(
            route, headers=replace(route.headers, request=HeaderChanges())
        ),
    },
    "actions, fifth": {
        "headers": lambda route: replace(
            route, headers=replace(route.headers, response=HeaderChanges())
        ),
    },
    # The routes of gateway_api.yaml; see `test_own_gateway_api.py`.
    "gateway api, first": {
        "split": even,
        "moved": part("redirect", use_request_port=False),
        "elsewhere": part("redirect", uri="/"),
        "api": without("headers", Headers()),
        "without prefix": without("rewrite"),
        "whole path": without("mirrors", ()),
        "slow": without("timeout"),
        "again": part("retries", conditions=("connect-failure",)),
        "nowhere": part("direct_response", status=503),
    },
    "gateway api, second": {
        "split": without_own_headers,
        "moved": part("redirect", code=301),
        "api": without("rewrite"),
        "whole path": without("rewrite"),
        "again": part("retries", attempts=2),
    },
}


def chained(doctor: Callable[[list[TlsChain]], list[TlsChain]]) -> Plant:
    """Serve other filter chains at each port of a gateway where TLS ends."""
    right = listeners.make_tls_listener

    def plant(patch: pytest.MonkeyPatch) -> None:
        def wrong(name: str, port: int, chains: Iterable[TlsChain], telemetry: Any) -> Any:
            return right(name, port, doctor(list(chains)), telemetry)

        patch.setattr(listeners, "make_tls_listener", wrong)

    return plant


def certificates_moved_on(chains: list[TlsChain]) -> list[TlsChain]:
    """Give each server the certificate of the one before it."""
    certificates = [chain.certificate for chain in chains]
    moved = [*certificates[-1:], *certificates[:-1]]
    return [
        replace(chain, certificate=certificate)
        for chain, certificate in zip(chains, moved, strict=True)
    ]


def routes_moved_on(chains: list[TlsChain]) -> list[TlsChain]:
    """Give each server the routes of the one before it."""
    moved = [*chains[-1:], *chains[:-1]]
    return [
        replace(chain, name=other.name, routes_path=other.routes_path)
        for chain, other in zip(chains, moved, strict=True)
    ]


def of_mode(mode: TlsMode, instead: TlsMode) -> Callable[[list[TlsChain]], list[TlsChain]]:
    """Serve one mode of TLS in the place of another."""
    return lambda chains: [
        replace(chain, mode=mode) if chain.mode == instead else chain for chain in chains
    ]


def for_every_name(chains: list[TlsChain]) -> list[TlsChain]:
    """Let the first server have the names of no server."""
    return [replace(chains[0], hosts=("*",)), *chains[1:]]


def hashed(doctor: Callable[[PodHash], PodHash]) -> Plant:
    """Let another part of a request pick its pod."""
    right = pod_hashes.translate_policy

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(pod_hashes, "translate_policy", lambda pod_hash: right(doctor(pod_hash)))

    return plant


def without_hashes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(translate, "_find_hashes", lambda *given: [])


def redirects_to_https_left_out(patch: pytest.MonkeyPatch) -> None:
    right = translate.translate_gateway_routes

    def wrong(*given: Any) -> Any:
        config = right(*given)
        for host in config["virtual_hosts"]:
            host.pop("require_tls", None)
        return config

    patch.setattr(translate, "translate_gateway_routes", wrong)


def all_gateways_at_each_proxy(patch: pytest.MonkeyPatch) -> None:
    right = translate.list_listeners

    def wrong(gateways: Any, proxy: Any = None) -> Any:
        return right(gateways)

    patch.setattr(translate, "list_listeners", wrong)


def hosts_for_all_namespaces(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Server, "hosts_for", lambda server, namespace: server.hosts)


FAULTS: dict[str, Plant] = {
    "nothing": lambda patch: None,
    "prefix as exact": matched(prefix_as_exact),
    "header dropped": matched(lambda match: replace(match, headers=())),
    "canary for all": matched(canary_for_all),
    "query ignored": matched(lambda match: replace(match, query=())),
    "case not ignored": matched(lambda match: replace(match, ignore_uri_case=False)),
    "regex open at its end": matched(open_ended),
    "regex that is none": matched(broken),
    "first route last": first_route_last,
    "routes 1 and 2 swapped": swapped(0, 1),
    "routes 2 and 3 swapped": swapped(1, 2),
    "order of the file": as_in_the_file,
    "elements as letters": matched(elements_as_letters),
    "prefix moved by letters": moved_by_letters,
    "callers ignored": callers_ignored,
    "certificate of another server": chained(certificates_moved_on),
    "routes of another server": chained(routes_moved_on),
    "no client certificate asked for": chained(of_mode("SIMPLE", instead="MUTUAL")),
    "client certificate insisted on": chained(of_mode("MUTUAL", instead="OPTIONAL_MUTUAL")),
    "TLS for every name": chained(for_every_name),
    "no redirect to https": redirects_to_https_left_out,
    "all gateways at each proxy": all_gateways_at_each_proxy,
    "hosts for all namespaces": hosts_for_all_namespaces,
    "any pod for each request": without_hashes,
    "pods by another header": hashed(lambda pod_hash: PodHash("header", name="x-absent")),
    "pods by the authority": hashed(lambda pod_hash: PodHash("header", name=":authority")),
    "pods by the path": hashed(lambda pod_hash: PodHash("header", name=":path")),
    "no cookie made": hashed(lambda pod_hash: replace(pod_hash, ttl=None)),
    "cookie of an hour": hashed(lambda pod_hash: replace(pod_hash, ttl=3600.0)),
    "cookie below a path": hashed(lambda pod_hash: replace(pod_hash, cookie_path="/else")),
    "60/40": sent(weighted(60, 40)),
    "55/45": sent(weighted(55, 45)),
    "default to v3": sent(default_to_v3),
    **{name: sent(by_name(doctors)) for name, doctors in ACTIONS.items()},
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--own-fault", metavar="NAME", required=True, choices=sorted(FAULTS))


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        FAULTS[session.config.getoption("--own-fault")](patch)
        return (yield)
