"""CORS policies of both dialects are read into the model, or refused with their place."""

from __future__ import annotations

import pytest

from meshproof import rules
from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.documents.manifest import At
from meshproof.rules.actions import Cors
from meshproof.rules.model import StringMatch

NEW = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
  http:
  - route: [{destination: {host: shop}}]
    corsPolicy: """
OLD = """\
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: shop}
spec:
  destination: {name: shop}
  route: [{labels: {version: v1}}]
  corsPolicy: """
NOWHERE = At("", 0)


def exact(value: str) -> StringMatch:
    return StringMatch("exact", value, NOWHERE)


def read(text: str) -> Cors | None:
    (table,) = rules.read_rules(manifest.parse(text, "r.yaml")).tables
    return table.routes[0].cors


ALL = "allowMethods: [GET, '*'], allowHeaders: [x-a], exposeHeaders: [x-b], maxAge: 1m30s"
PAGES = "{exact: a}, {prefix: b}, {regex: c}"
READ = {
    f"{NEW}{{allowOrigins: [{PAGES}], {ALL}, allowCredentials: false}}": Cors(
        (exact("a"), StringMatch("prefix", "b", NOWHERE), StringMatch("regex", "c", NOWHERE)),
        ("GET", "*"),
        ("x-a",),
        ("x-b",),
        90,
        False,
    ),
    f"{NEW}{{unmatchedPreflights: IGNORE}}": Cors((), forwards_unmatched=False),
    f"{NEW}{{unmatchedPreflights: FORWARD}}": Cors(()),
    f"{NEW}{{allowOrigin: ['*']}}": Cors((exact("*"),)),
    f"{NEW}{{allowOrigin: [a], allowOrigins: [{{exact: b}}]}}": Cors((exact("b"),)),
    f"{OLD}{{allowOrigin: ['*', a], allowCredentials: true}}": Cors(
        (exact("*"), exact("a")), allow_credentials=True
    ),
}


@pytest.mark.parametrize(("text", "policy"), READ.items(), ids=map(str, range(len(READ))))
def test_read(text: str, policy: Cors) -> None:
    assert read(text) == policy


REFUSED = {
    f"{NEW}{{allowMethods: [GTE]}}": (
        "8:33: spec.http[0].corsPolicy.allowMethods[0]: 'GTE' is not one of GET, HEAD, POST, PUT, "
        "PATCH, DELETE, CONNECT, OPTIONS, TRACE, *; did you mean 'GET'?"
    ),
    f"{NEW}{{maxAge: 1500ms}}": (
        "8:26: spec.http[0].corsPolicy.maxAge: expected a duration of whole seconds, found '1500ms'"
    ),
    f"{NEW}{{allowOrigins: [{{exact: ''}}]}}": (
        "8:41: spec.http[0].corsPolicy.allowOrigins[0].exact: expected text that is not empty, "
        "found ''"
    ),
    f"{NEW}{{allowOrgins: []}}": (
        "8:18: spec.http[0].corsPolicy.allowOrgins: unknown key 'allowOrgins'; did you mean "
        "'allowOrigins'?"
    ),
    f"{OLD}{{allowOrigins: []}}": (
        "7:16: spec.corsPolicy.allowOrigins: unknown key 'allowOrigins'; did you mean "
        "'allowOrigin'?"
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=map(str, range(len(REFUSED))))
def test_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(BadRules) as error:
        read(text)
    assert str(error.value) == f"r.yaml:{message}"
