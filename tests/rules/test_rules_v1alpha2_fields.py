"""Every field that is read from a RouteRule is in the model."""

from __future__ import annotations

import pytest

from meshproof import rules
from meshproof.documents import manifest
from meshproof.documents.manifest import At
from meshproof.rules.model import Match, RouteTable, StringMatch, Target

TEXT = """\
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: picky, namespace: shop}
spec:
  destination: {name: reviews}
  precedence: 3
  match:
    source: {labels: {app: page}}
    request:
      headers:
        uri: {prefix: /api}
        method: GET
        authority: {regex: 'a.*'}
        Cookie: {exact: user=burr}
        x-plain: text
  route:
  - {labels: {version: v3}, weight: 60}
  - {destination: {name: other, namespace: far}, weight: 40}
"""


def table(text: str = TEXT) -> RouteTable:
    (parsed,) = rules.read_rules(manifest.parse(text, "r.yaml")).tables
    return parsed


def test_a_route_has_its_host_and_knows_no_gateways() -> None:
    parsed = table()
    assert parsed.hosts == ("reviews.shop.svc.cluster.local",)
    assert parsed.gateways is None
    assert (parsed.name, parsed.namespace, parsed.at) == ("picky", "shop", At("r.yaml", 1, 1))
    assert rules.read_rules(manifest.parse(TEXT, "r.yaml")).dialect == "RouteRule"


def test_a_match_has_every_condition() -> None:
    (match,) = table().routes[0].matches
    nowhere = At("", 0)
    assert match == Match(
        at=nowhere,
        uri=StringMatch("prefix", "/api", nowhere),
        method=StringMatch("exact", "GET", nowhere),
        authority=StringMatch("regex", "a.*", nowhere),
        headers=(
            ("cookie", StringMatch("exact", "user=burr", nowhere)),
            ("x-plain", StringMatch("exact", "text", nowhere)),
        ),
        source=(("app", "page"),),
    )
    assert (match.at.line, match.headers[1][1].at) == (8, At("r.yaml", 15, 18))


def test_an_route_has_its_split_in_order() -> None:
    (route,) = table().routes
    assert route.split == (
        Target("reviews.shop.svc.cluster.local", (("version", "v3"),), 60),
        Target("other.far.svc.cluster.local", (), 40),
    )
    assert (route.name, route.at.line) == ("picky", 1)
    assert [target.at and target.at.line for target in route.split] == [17, 18]


def test_a_rule_without_match_takes_everything() -> None:
    assert table("\n".join(TEXT.splitlines()[:6] + TEXT.splitlines()[15:])).routes[0].matches == ()


@pytest.mark.parametrize(
    ("destination", "host"),
    [
        ("{name: a}", "a.shop.svc.cluster.local"),
        ("{name: a, namespace: b}", "a.b.svc.cluster.local"),
        ("{name: a, domain: svc.example}", "a.shop.svc.example"),
        ("{service: a.b.svc.cluster.local}", "a.b.svc.cluster.local"),
        ("{service: a}", "a.shop.svc.cluster.local"),
    ],
)
def test_ways_to_write_a_destination(destination: str, host: str) -> None:
    assert table(TEXT.replace("{name: reviews}", destination)).hosts == (host,)
