"""Two rules meet where a request can reach both: in sidecars always, at a gateway by routes."""

from __future__ import annotations

import pytest

from meshproof.documents.manifest import parse
from meshproof.lint import Project
from meshproof.lint.checks.mp0210_two_rules_one_host import check
from tests.manifest_text import write_head


def _rule(name: str, host: str = "shop", where: str = "", route: str = "") -> str:
    """Return a VirtualService: more of its spec, and the match of its route."""
    match = f"match: [{{{route}}}], " if route else ""
    return (
        write_head("VirtualService", name, "default") + f"spec: {{hosts: [{host}], {where}"
        f"http: [{{{match}route: [{{destination: {{host: a}}}}]}}]}}\n"
    )


def _lint_rules(*rules: str) -> list[str]:
    return [hit.message for hit in check(Project(parse("---\n".join(rules), "f.yaml")))]


AT_GATEWAY = "gateways: [front], "


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (_rule("one"), _rule("two")),
        (_rule("one"), _rule("two", host="shop.default.svc.cluster.local")),
        (_rule("one", route="uri: {exact: /a}"), _rule("two", route="uri: {exact: /b}")),
        (_rule("one", where=AT_GATEWAY), _rule("two", where="gateways: [default/front], ")),
        (
            _rule("one", where=AT_GATEWAY, route="uri: {prefix: /a}"),
            _rule("two", where=AT_GATEWAY, route="uri: {exact: /a/b}"),
        ),
        (
            _rule("one", where=AT_GATEWAY, route="uri: {regex: .*a}"),
            _rule("two", where=AT_GATEWAY, route="uri: {exact: /b/a}"),
        ),
    ],
    ids=[
        "one host",
        "its short and its full name",
        "apart by path, in sidecars",
        "one gateway by two names",
        "a path under a prefix",
        "a regex that takes the path",
    ],
)
def test_they_meet(first: str, second: str) -> None:
    (message,) = _lint_rules(first, second)
    assert "VirtualService 'one' at f.yaml:4" in message


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (_rule("one"), _rule("two", host="pay")),
        (_rule("one"), _rule("two", where=AT_GATEWAY)),
        (_rule("one", where=AT_GATEWAY), _rule("two", where="gateways: [back], ")),
        (
            _rule("one", where=AT_GATEWAY, route="uri: {prefix: /a}"),
            _rule("two", where=AT_GATEWAY, route="uri: {prefix: /b}"),
        ),
        (
            _rule("one", where=AT_GATEWAY, route="method: {exact: GET}"),
            _rule("two", where=AT_GATEWAY, route="method: {exact: POST}"),
        ),
        (
            _rule("one", where=AT_GATEWAY, route="uri: {regex: /a.*}"),
            _rule("two", where=AT_GATEWAY, route="uri: {exact: /b}"),
        ),
        (
            _rule("one", where=AT_GATEWAY, route="headers: {a: {exact: b}}"),
            _rule("two", where=AT_GATEWAY, route="headers: {a: {exact: c}}"),
        ),
        (
            _rule("one", host="shop.pay", where="exportTo: [.], "),
            _rule("two", host="shop.pay", where="exportTo: [other], "),
        ),
        (_rule("one"), _rule("one")),
    ],
    ids=[
        "two hosts",
        "sidecars and a gateway",
        "two gateways",
        "two paths",
        "two methods",
        "a regex of other paths",
        "two values of a header",
        "seen from two namespaces",
        "one name: another finding",
    ],
)
def test_they_do_not_meet(first: str, second: str) -> None:
    assert _lint_rules(first, second) == []


def test_a_rule_for_all_meets_one_for_a_namespace() -> None:
    assert len(_lint_rules(_rule("one"), _rule("two", where="exportTo: [.], "))) == 1


def test_a_pair_is_told_once() -> None:
    assert len(_lint_rules(_rule("one", host="a, b"), _rule("two", host="a, b"))) == 1
