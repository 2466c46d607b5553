"""Prefixes of whole elements, what replaces them, and ports of a service: what must follow."""

from __future__ import annotations

import pytest

from meshproof.documents.manifest import At
from meshproof.oracle import strings
from meshproof.oracle.actions import Arrival
from meshproof.oracle.derive import Plan, derive
from meshproof.rules.actions import Redirect, Rewrite
from meshproof.rules.model import (
    Gateway,
    Match,
    Route,
    RouteTable,
    RuleSet,
    Server,
    StringMatch,
    Target,
)

HERE = At("g.yaml", 1)
HOST = "shop.default.svc.cluster.local"


def below(path: str) -> Match:
    return Match(HERE, StringMatch("path_prefix", path, HERE))


def plan(route: Route, ports: tuple[int, ...] = ()) -> Plan:
    return derive(RuleSet((RouteTable((HOST,), (route,), ("mesh",), HERE, ports=ports),)))


def to_shop(match: Match, rewrite: Rewrite | None = None) -> Route:
    return Route((match,), (Target(HOST, (), 1),), HERE, rewrite=rewrite)


def test_a_prefix_of_whole_elements_and_its_near_misses() -> None:
    ids = [case.id.removeprefix("shop: ") for case in plan(to_shop(below("/foo/bar"))).cases]
    assert ids == [
        "path /foo/bar -> any version",
        "path /foo/bar/ (with a slash after it) -> any version",
        "path /foo/bar/x (and what is below it) -> any version",
        "path /foo/ba (one character short) -> 404",
        "path /foo/barx (one character more) -> 404",
        "path /FOO/BAR (in other case) -> 404",
        "path /x/foo/bar (with something before it) -> 404",
        "path /meshproof-other (something else) -> 404",
        "host shop -> any version",
        "host shop:80 -> any version",
    ]


@pytest.mark.parametrize(
    ("path", "taken"),
    [("/foo", True), ("/foo/", True), ("/foo/bar", True), ("/foobar", False), ("/", False)],
)
def test_which_paths_are_below(path: str, taken: bool) -> None:
    assert strings.matches(StringMatch("path_prefix", "/foo", HERE), path) is taken


#: The reference's table of ReplacePrefixMatch: path, prefix, its replacement -> path.
MOVED = {
    ("/foo/bar", "/foo", "/xyz"): "/xyz/bar",
    ("/foo/bar", "/foo", "/xyz/"): "/xyz/bar",
    ("/foo", "/foo", "/xyz"): "/xyz",
    ("/foo/", "/foo", "/xyz"): "/xyz/",
    ("/foo/bar", "/foo", "/"): "/bar",
    ("/foo/", "/foo", "/"): "/",
    ("/foo", "/foo", "/"): "/",
}


@pytest.mark.parametrize("example", MOVED)
def test_a_prefix_is_replaced_as_in_the_table_of_the_reference(
    example: tuple[str, str, str],
) -> None:
    path, prefix, to = example
    assert strings.replace_prefix(prefix, to, path) == MOVED[example]


@pytest.mark.parametrize(("to", "slash"), [("/xyz", "/xyz/"), ("/xyz/", "/xyz/"), ("/", "/")])
def test_a_rewrite_below_a_path(to: str, slash: str) -> None:
    cases = plan(to_shop(below("/foo"), Rewrite(to))).cases
    arrivals = {case.call.path: case.answer.arrivals for case in cases if case.route_index == 0}
    assert arrivals["/foo/"] == (Arrival(slash, HOST),)
    assert arrivals["/foo/x"] == (Arrival(f"{to.rstrip('/')}/x", HOST),)


def test_a_rewrite_of_the_prefix_of_all_paths_by_itself_changes_none() -> None:
    first_route = to_shop(below("/foo"))
    rest = Route((), first_route.targets, HERE, rewrite=Rewrite("/"))
    table = RouteTable((HOST,), (first_route, rest), ("mesh",), HERE)
    cases = [case for case in derive(RuleSet((table,))).cases if case.route_index == 1]
    assert {"/fo", "/x/foo"} <= {case.call.path for case in cases}
    for case in cases:
        assert [arrival.path for arrival in case.answer.arrivals] == [case.call.request_target]


def test_a_redirect_below_a_path_names_the_port_of_the_listener() -> None:
    redirect = Redirect(302, prefix="/new", use_request_port=True)
    gate = Gateway("default/gate/web", (Server(8080, ("*",)),), HERE)
    route = Route((below("/old"),), (), HERE, redirect=redirect)
    table = RouteTable(("a.example",), (route,), (gate.name,), HERE)
    cases = derive(RuleSet((table,), (gate,))).cases
    replies = {case.call.path: case.answer.proxy_reply for case in cases if case.route_index == 0}
    locations = {path: reply.location for path, reply in replies.items() if reply}
    assert locations == {
        "/old": "http://a.example:8080/new",
        "/old/": "http://a.example:8080/new/",
        "/old/x": "http://a.example:8080/new/x",
    }


def test_a_route_for_one_port_is_asked_at_that_port() -> None:
    route = to_shop(below("/foo"))
    assert {case.call.port for case in plan(route, (8080,)).cases} == {8080}
    rules = RuleSet((RouteTable((HOST,), (route,), ("mesh",), HERE, ports=(8080,)),))
    assert {case.call.port for case in derive(rules, {HOST: (80, 8080)}).cases} == {8080}


def test_a_port_that_the_service_has_not_is_named() -> None:
    tables = (
        RouteTable((HOST,), (to_shop(below("/foo")),), ("mesh",), HERE, ports=(81,)),
        RouteTable((HOST,), (to_shop(below("/foo")),), ("mesh",), HERE, ports=(80,)),
    )
    first, _ = derive(RuleSet(tables), {HOST: (80,)}).coverage
    assert first.unreached == ((0, f"{HOST} has no port 81"),)


def test_a_host_without_routes_is_answered_404() -> None:
    gate = Gateway("default/gate/web", (Server(80, ("a.example",)),), HERE)
    plan = derive(RuleSet((RouteTable(("a.example",), (), (gate.name,), HERE),), (gate,)))
    assert [case.id for case in plan.cases] == [
        "a.example: any other request -> 404",
        "a.example: host meshproof-other.example (no rule names it) -> 404",
        "a.example: host meshproof-other.a.example (no rule names it) -> 404",
    ]
    assert plan.coverage_share == 0.0
