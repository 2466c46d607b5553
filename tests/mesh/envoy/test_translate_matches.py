"""Every kind of condition becomes the matcher of Envoy that means the same."""

from __future__ import annotations

import pytest

from meshproof.mesh.envoy.envoy import Resource
from tests.mesh.envoy.translating import routes

TEXT = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: reviews}}
spec:
  hosts: [reviews]
  http: [{{match: [{{{match}}}], route: [{{destination: {{host: reviews}}}}]}}]
"""
ANY: Resource = {"prefix": "/"}


def header(name: str, **matcher: object) -> Resource:
    return {"prefix": "/", "headers": [{"name": name, **matcher}]}


MATCHES: dict[str, tuple[str, Resource]] = {
    "nothing": ("", ANY),
    "path": ("uri: {exact: /a}", {"path": "/a"}),
    "path prefix": ("uri: {prefix: /a}", {"prefix": "/a"}),
    "path regex": ("uri: {regex: '/a+'}", {"safe_regex": {"regex": "/a+"}}),
    "path in any case": (
        "uri: {exact: /a}, ignoreUriCase: true",
        {"path": "/a", "case_sensitive": False},
    ),
    "path prefix in any case": (
        "uri: {prefix: /a}, ignoreUriCase: true",
        {"prefix": "/a", "case_sensitive": False},
    ),
    "case means nothing to a regex": (
        "uri: {regex: /a}, ignoreUriCase: true",
        {"safe_regex": {"regex": "/a"}},
    ),
    "case without a path": ("ignoreUriCase: true", ANY),
    "header": ("headers: {a: {exact: b}}", header("a", string_match={"exact": "b"})),
    "header prefix": ("headers: {a: {prefix: b}}", header("a", string_match={"prefix": "b"})),
    "header regex": (
        "headers: {a: {regex: b+}}",
        header("a", string_match={"safe_regex": {"regex": "b+"}}),
    ),
    "header at all": ("headers: {a: {}}", header("a", present_match=True)),
    "header name in lower case": ("headers: {A-B: {}}", header("a-b", present_match=True)),
    "header with another value": (
        "withoutHeaders: {a: {exact: b}}",
        header(
            "a",
            string_match={"exact": "b"},
            invert_match=True,
            treat_missing_header_as_empty=True,
        ),
    ),
    "header not at all": (
        "withoutHeaders: {a: {}}",
        header("a", present_match=True, invert_match=True),
    ),
    "method": ("method: {exact: PUT}", header(":method", string_match={"exact": "PUT"})),
    "authority": (
        "authority: {prefix: a.}",
        header(":authority", string_match={"prefix": "a."}),
    ),
    "query": (
        "queryParams: {Page: {exact: '1'}, all: {}}",
        {
            "prefix": "/",
            "query_parameters": [
                {"name": "Page", "string_match": {"exact": "1"}},
                {"name": "all", "present_match": True},
            ],
        },
    ),
    "all together": (
        "uri: {exact: /a}, method: {exact: GET}, headers: {a: {}}, withoutHeaders: {b: {}}",
        {
            "path": "/a",
            "headers": [
                {"name": "a", "present_match": True},
                {"name": "b", "present_match": True, "invert_match": True},
                {"name": ":method", "string_match": {"exact": "GET"}},
            ],
        },
    ),
}


@pytest.mark.parametrize(("match", "expected"), MATCHES.values(), ids=MATCHES)
def test_a_match(match: str, expected: Resource) -> None:
    (config,) = routes(TEXT.format(match=match))
    assert config["match"] == expected
