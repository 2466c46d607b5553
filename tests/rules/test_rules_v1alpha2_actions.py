"""The actions of a RouteRule are those of the one model."""

from __future__ import annotations

import pytest

from meshproof import rules
from meshproof.documents import manifest
from meshproof.rules.actions import (
    Fault,
    HeaderChanges,
    Headers,
    Redirect,
    Retries,
    Rewrite,
)
from meshproof.rules.model import Mirror, Route, Target

HEAD = """\
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: reviews, namespace: shop}
spec:
  destination: {name: reviews}
"""
ROUTE = "  route: [{labels: {version: v1}}]\n"


def route(text: str, table: str = ROUTE) -> Route:
    (parsed,) = rules.read_rules(manifest.parse(f"{HEAD}  {text}\n{table}", "r.yaml")).tables
    return parsed.routes[0]


def test_a_redirect_is_a_302_without_a_route() -> None:
    parsed = route("redirect: {uri: /b, authority: c}", "")
    assert (parsed.redirect, parsed.split) == (Redirect(302, "/b", "c"), ())


@pytest.mark.parametrize(
    ("text", "field", "expected"),
    [
        ("rewrite: {uri: /b}", "rewrite", Rewrite("/b")),
        ("httpReqTimeout: {simpleTimeout: {timeout: 10s}}", "timeout", 10.0),
        (
            "httpReqRetries: {simpleRetry: {attempts: 3, perTryTimeout: 2s}}",
            "retries",
            Retries(3, 2.0, ("5xx", "connect-failure", "refused-stream")),
        ),
        ("httpFault: {delay: {percent: 12.5, fixedDelay: 5s}}", "fault", Fault(5, 12.5)),
        ("httpFault: {abort: {percent: 100, httpStatus: 400}}", "fault", Fault(0, 0, 400, 100)),
        ("httpFault: {abort: {httpStatus: 400}}", "fault", Fault(0, 0, 400, 0)),
        (
            "appendHeaders: {X-A: b}",
            "headers",
            Headers(request=HeaderChanges(add=(("x-a", "b"),))),
        ),
        (
            "mirror: {name: copy, labels: {version: v2}}",
            "mirrors",
            (Mirror(Target("copy.shop.svc.cluster.local", (("version", "v2"),), 100)),),
        ),
        ("websocketUpgrade: true", "rewrite", None),
    ],
)
def test_action(text: str, field: str, expected: object) -> None:
    parsed = route(text)
    assert getattr(parsed, field) == expected
    assert [target.subset for target in parsed.split] == ["v1"]
