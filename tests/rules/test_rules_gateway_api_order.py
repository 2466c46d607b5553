"""Which of all matches of a host decides: the one that a second reading of the spec names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshproof.oracle.derive import Call, find_route
from meshproof.rules.gateway_api import reader as gateway_api
from meshproof.rules.gateway_api import routes as gateway_api_routes
from meshproof.rules.gateway_api.routes import RankedRoute
from meshproof.rules.model import Match
from tests.rules.gateway_api_texts import gateway, only, read

Routes = list[tuple[str, list[list[dict[str, Any]]]]]
PATHS: list[dict[str, str]] = [
    *({"type": "Exact", "value": value} for value in ("/a", "/a/b", "/ab")),
    *({"type": "PathPrefix", "value": value} for value in ("/", "/a", "/a/", "/a/b", "/ab")),
    *({"type": "RegularExpression", "value": value} for value in ("/a.*", "/[ab]+", "/a/?b?")),
    {},
]
NAMED: list[dict[str, str]] = [
    {"name": name, "value": value} for name, value in (("x", "1"), ("y", "1"), ("y", "2"))
]
PAIRS = st.lists(st.sampled_from(NAMED), max_size=2, unique_by=lambda pair: pair["name"])
MATCHES = st.fixed_dictionaries(
    {},
    optional={
        "path": st.sampled_from(PATHS),
        "method": st.sampled_from(["GET", "PUT"]),
        "headers": PAIRS,
        "queryParams": PAIRS,
    },
)
RULES = st.lists(st.lists(MATCHES, max_size=3), min_size=1, max_size=4)
CREATED = st.sampled_from(["", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"])
ROUTES = st.lists(st.tuples(CREATED, RULES), min_size=1, max_size=3)


def write_objects(tables: Routes) -> str:
    """Return the routes as YAML; the name of a rule says whose it is, and which."""
    objects = []
    for number, (created, route_rules) in enumerate(tables):
        rules = [
            {
                "name": f"{number}-{rule}",
                "matches": matches,
                "backendRefs": [{"name": "shop", "port": 80}],
            }
            for rule, matches in enumerate(route_rules)
        ]
        # Names go down, so that the order of files is not that of names.
        head = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute"}
        metadata = {"name": f"route-{9 - number}", "creationTimestamp": created or None}
        spec = {"parentRefs": [{"name": "gate"}], "rules": rules}
        objects.append({**head, "metadata": metadata, "spec": spec})
    return gateway() + "\n---\n".join(json.dumps(document) for document in objects)


def takes(match: dict[str, Any], call: Call) -> bool:
    """Read a match once more, straight down the reference (HTTPRouteMatch)."""
    kind, value = path_of(match)
    if kind == "Exact" and call.path != value:
        return False
    if kind == "RegularExpression" and not re.fullmatch(value, call.path):
        return False
    if kind == "PathPrefix":
        elements = [element for element in value.split("/") if element]
        if [element for element in call.path.split("/") if element][: len(elements)] != elements:
            return False
    if match.get("method", call.method) != call.method:
        return False
    headers, query = dict(call.headers), dict(call.query)
    return all(
        headers.get(condition["name"]) == condition["value"]
        for condition in match.get("headers", ())
    ) and (
        all(
            query.get(condition["name"]) == condition["value"]
            for condition in match.get("queryParams", ())
        )
    )


def path_of(match: dict[str, Any]) -> tuple[str, str]:
    path: dict[str, str] = match.get("path", {})
    return path.get("type", "PathPrefix"), path.get("value", "/")


def before(match: dict[str, Any]) -> tuple[object, ...]:
    """What HTTPRouteRule says, in its order; a regex comes after all other paths, as in istiod."""
    kind, value = path_of(match)
    rank = ["Exact", "PathPrefix", "RegularExpression"].index(kind)
    length = len(value.rstrip("/")) if kind == "PathPrefix" else len(value)
    counts = [len(match.get(key, ())) for key in ("headers", "queryParams")]
    return rank, -length, "method" not in match, *(-count for count in counts)


def expected(tables: Routes, call: Call) -> str | None:
    """Return the rule that must take a call."""
    candidates = []
    for number, (created, route_rules) in enumerate(tables):
        for rule, matches in enumerate(route_rules):
            for match in matches or [{}]:
                if takes(match, call):
                    tie = (created or "9999", f"default/route-{9 - number}", rule)
                    candidates.append((before(match), tie, f"{number}-{rule}"))
    return min(candidates)[-1] if candidates else None


def calls() -> Iterator[Call]:
    headers = [(), (("x", "1"),), (("x", "1"), ("y", "1")), (("y", "2"),)]
    paths = ("/", "/a", "/a/b", "/ab", "/a/b/c", "/a/c", "/abc", "/b")
    for path, method, first_header, second_header in product(
        paths, ("GET", "PUT"), headers, headers
    ):
        yield Call("*", path, method, first_header, second_header)


CALLS = list(calls())


def differences(
    text: str, expect_route: Callable[[Call], str | None]
) -> list[tuple[Call, str | None]]:
    """Return the calls that another rule takes than the one that must."""
    (table,) = read(text).tables
    different = []
    for call in CALLS:
        taken = find_route(table, call)
        name = None if taken is None else table.routes[taken].name
        if name != expect_route(call):
            different.append((call, name))
    return different


@settings(max_examples=60, deadline=None)
@given(ROUTES)
def test_the_rule_that_decides_is_that_of_the_reference(tables: Any) -> None:
    assert not differences(write_objects(tables), lambda call: expected(tables, call))


def swapped(*order: int) -> Callable[[RankedRoute], tuple[int, ...]]:
    """Return an order that looks at its parts in another turn, or not at all."""
    right = RankedRoute.sort_key

    def wrong(ranked: RankedRoute) -> tuple[int, ...]:
        return tuple(right(ranked)[part] for part in order)

    return wrong


#: What is wrong -> an order in which routes are tried.
WRONG = {
    "kind of path not looked at": swapped(1, 2, 3, 4),
    "longest path not first": swapped(0, 2, 3, 4),
    "method not looked at": swapped(0, 1, 3, 4),
    "headers not counted": swapped(0, 1, 2, 4),
    "query not counted": swapped(0, 1, 2, 3),
    "query before headers": swapped(0, 1, 2, 4, 3),
    "headers before the path": swapped(3, 0, 1, 2, 4),
    "order of the file": swapped(),
}
#: Routes of which each order above makes something else.
EXAMPLE: Any = [
    (
        "2024-01-01T00:00:00Z",
        [
            [{}],
            [{"path": {"type": "RegularExpression", "value": "/a/b/.*"}}],
            [{"path": {"value": "/a"}, "queryParams": NAMED[:1]}],
            [{"path": {"value": "/a"}, "queryParams": NAMED[:2]}],
            [{"path": {"value": "/a"}, "headers": NAMED[:1]}],
            [{"path": {"value": "/a"}, "headers": NAMED[:2]}],
            [{"path": {"value": "/a"}, "method": "PUT"}],
            [{"path": {"value": "/a/b"}}, {"path": {"type": "Exact", "value": "/a/b"}}],
        ],
    ),
    ("", [[{"path": {"value": "/a/b"}}]]),
]


def test_the_example_is_right() -> None:
    assert not differences(write_objects(EXAMPLE), lambda call: expected(EXAMPLE, call))


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_order_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RankedRoute, "sort_key", WRONG[name])
    assert differences(write_objects(EXAMPLE), lambda call: expected(EXAMPLE, call))


def test_a_wrong_age_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_api, "_age_key", lambda checked: checked.document.name)
    assert differences(write_objects(EXAMPLE), lambda call: expected(EXAMPLE, call))


def test_a_dropped_condition_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = gateway_api_routes._read_match

    def without_headers(*arguments: Any) -> Match:
        match = right(*arguments)
        return Match(match.at, match.uri, method=match.method, query=match.query)

    monkeypatch.setattr(gateway_api_routes, "_read_match", without_headers)
    assert differences(write_objects(EXAMPLE), lambda call: expected(EXAMPLE, call))


CALLS_OF_GRPC = """
- name: all
  backendRefs: [{name: shop, port: 80}]
- name: method
  matches: [{method: {method: C}}]
  backendRefs: [{name: shop, port: 80}]
- name: service
  matches: [{method: {service: a.B}}]
  backendRefs: [{name: shop, port: 80}]
- name: header
  matches: [{headers: [{name: x, value: '1'}]}]
  backendRefs: [{name: shop, port: 80}]
- name: both
  matches: [{method: {service: a.B, method: C}}]
  backendRefs: [{name: shop, port: 80}]
- name: both and header
  matches: [{method: {service: a.B, method: C}, headers: [{name: x, value: '1'}]}]
  backendRefs: [{name: shop, port: 80}]
"""


def test_calls_of_grpc_by_service_then_method_then_headers() -> None:
    table = only(CALLS_OF_GRPC, "GRPCRoute")
    names = ["both and header", "both", "service", "method", "header", "all"]
    assert [parsed.name for parsed in table.routes] == names
