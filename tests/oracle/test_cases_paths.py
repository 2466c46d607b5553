"""Paths that are no plain words: asked for as a browser does, or refused by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshproof.oracle.derive import Plan
from tests.oracle.conftest import TO_V1, TO_V3

Routes = Callable[[str], Plan]


def derive_path(routes: Routes, condition: str) -> Plan:
    return routes(f"- match: [{{uri: {condition}}}]\n{TO_V3}{TO_V1}")


@pytest.mark.parametrize(
    "path",
    [
        *["/a%2f", "/a%2F", "/a[1]", "/a|b", "/a;v=1", "/a@b", "/a:b", "/~a", "/a,b", "/$a"],
        "/a(1)",
        "/a'b",
        "/a*",
        "/a+b",
    ],
)
@pytest.mark.parametrize("kind", ["exact", "prefix"])
def test_a_path_that_browsers_leave_is_asked_for_as_it_is(
    routes: Routes, kind: str, path: str
) -> None:
    value = path.replace("'", "''")
    plan = derive_path(routes, f"{{{kind}: '{value}'}}")
    assert path in [case.call.path for case in plan.cases if case.route_index == 0]


@pytest.mark.parametrize(
    ("path", "sent"),
    {
        "/api/{id}": "/api/%7Bid%7D",
        "/é": "/%C3%A9",
        "/a b": "/a%20b",
        '/a"b': "/a%22b",
        "/<a>": "/%3Ca%3E",
        "/a^b": "/a%5Eb",
        "/a`b": "/a%60b",
    }.items(),
)
@pytest.mark.parametrize("kind", ["exact", "prefix"])
def test_a_path_that_browsers_encode_is_refused_by_name_and_what_they_send_is_asked_for(
    routes: Routes, kind: str, path: str, sent: str
) -> None:
    plan = derive_path(routes, f"{{{kind}: '{path}'}}")
    ((index, reason),) = plan.coverage[0].unreached
    assert index == 0
    assert reason == (f"a browser asks for '{sent}' in place of '{path}', and that is not matched")
    (asked,) = [case for case in plan.cases if case.call.path == sent]
    assert asked.route_index == 1


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/a?b", "no path has a ? or #: the path '/a?b' is none"),
        ("/a/../b", "a browser resolves the dots of the path '/a/../b' before it asks"),
    ],
)
def test_a_path_that_nobody_can_ask_for_is_refused_by_name(
    routes: Routes, path: str, reason: str
) -> None:
    plan = derive_path(routes, f"{{exact: '{path}'}}")
    assert plan.coverage[0].unreached == ((0, reason),)
