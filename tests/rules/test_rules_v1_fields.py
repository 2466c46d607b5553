"""Every field that is read from a VirtualService and a DestinationRule is in the model."""

from __future__ import annotations

from meshproof import rules
from meshproof.documents import manifest
from meshproof.documents.manifest import At
from meshproof.rules.model import Match, Route, RouteTable, StringMatch, Target

TEXT = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop, labels: {a: b}}
spec:
  host: reviews
  subsets:
  - {name: old, labels: {version: v1}}
  - {name: new, labels: {version: v2, track: canary}}
---
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {name: routes, namespace: shop}
spec:
  hosts: [reviews, ratings.other.svc.cluster.local]
  gateways: [mesh, entry, other/entry, ./own, legacy.third.svc.cluster.local]
  http:
  - name: picky
    match:
    - name: ignored
      uri: {prefix: /api}
      ignoreUriCase: true
      method: {exact: GET}
      authority: {regex: 'a.*'}
      headers:
        X-User: {exact: burr}
        cookie: {regex: '.*'}
        x-any: {}
      withoutHeaders: {x-bot: {prefix: b}}
      queryParams: {Page: {exact: "1"}, all: {}}
      gateways: [entry, mesh]
      sourceLabels: {app: ignored-beside-gateways}
    - uri: {exact: /other}
      sourceLabels: {app: page, version: v1}
    route:
    - destination: {host: reviews, subset: new, port: {number: 9080}}
      weight: 75
    - destination: {host: ratings.other.svc.cluster.local}
      weight: 0
    - {destination: {host: reviews, subset: old}, weight: 50}
  - route:
    - destination: {host: reviews}
"""

HOST = "reviews.shop.svc.cluster.local"
OTHER = "ratings.other.svc.cluster.local"


def table() -> RouteTable:
    (parsed,) = rules.read_rules(manifest.parse(TEXT, "r.yaml")).tables
    return parsed


def compared(kind: str, value: str) -> StringMatch:
    match kind:
        case "exact" | "prefix" | "regex" | "present":
            return StringMatch(kind, value, At("", 0))
    raise AssertionError(kind)


def test_a_route_has_its_hosts_gateways_and_name() -> None:
    parsed = table()
    assert parsed.hosts == (HOST, OTHER)
    assert parsed.gateways == ("mesh", "shop/entry", "other/entry", "shop/own", "third/legacy")
    assert (parsed.name, parsed.namespace, parsed.at) == ("routes", "shop", At("r.yaml", 10, 1))


def test_a_match_has_every_condition() -> None:
    first, second = table().routes[0].matches
    assert first == Match(
        at=At("", 0),
        uri=compared("prefix", "/api"),
        ignore_uri_case=True,
        method=compared("exact", "GET"),
        authority=compared("regex", "a.*"),
        headers=(
            ("x-user", compared("exact", "burr")),
            ("cookie", compared("regex", ".*")),
            ("x-any", compared("present", "")),
        ),
        without_headers=(("x-bot", compared("prefix", "b")),),
        query=(("Page", compared("exact", "1")), ("all", compared("present", ""))),
        gateways=("shop/entry", "mesh"),
    )
    assert second == Match(
        At("", 0),
        uri=compared("exact", "/other"),
        gateways=("mesh",),
        source=(("app", "page"), ("version", "v1")),
    )


def test_conditions_know_their_place() -> None:
    match, _ = table().routes[0].matches
    assert match.at == At("r.yaml", 19, 7)
    assert match.uri is not None
    assert match.uri.at == At("r.yaml", 20, 21)
    assert [condition.at.line for _, condition in match.headers] == [25, 26, 27]


def test_an_route_has_its_split_in_order() -> None:
    first, last = table().routes
    assert first == Route(
        matches=first.matches,
        split=(
            Target(HOST, (("track", "canary"), ("version", "v2")), 75, 9080),
            Target(OTHER, (), 0),
            Target(HOST, (("version", "v1"),), 50),
        ),
        at=At("", 0),
    )
    assert (first.name, first.at.line, last.name) == ("picky", 17, "")
    assert [target.at and target.at.line for target in first.split] == [35, 37, 39]
    assert (last.matches, last.split) == ((), (Target(HOST, (), 100),))


def test_without_gateways_a_route_holds_in_the_mesh() -> None:
    text = TEXT.replace("  gateways: [mesh, entry, other/entry, ./own, ", "  # ")
    (parsed,) = rules.read_rules(manifest.parse(text, "r.yaml")).tables
    assert parsed.gateways == ("mesh",)


def test_the_dialect_is_told() -> None:
    assert rules.read_rules(manifest.parse(TEXT, "r.yaml")).dialect == "VirtualService"
