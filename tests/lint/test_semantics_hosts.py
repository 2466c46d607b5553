"""Subsets, hosts, ports and gateways: what is missing, and when nothing is said about it."""

from __future__ import annotations

import pytest

from meshproof.documents.manifest import parse
from meshproof.lint import Finding, lint
from tests.manifest_text import write_head

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec:
  selector: {app: reviews}
  ports: [{name: http, port: 9080}]
"""
RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec:
  host: reviews
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
"""


def route(destination: str, head: str = "", namespace: str = "shop") -> str:
    return (
        write_head("VirtualService", "a", namespace) + f"spec:\n  hosts: [a.example.com]\n{head}"
        f"  http:\n  - route:\n    - destination: {destination}\n"
    )


def deployment(name: str, labels: str) -> str:
    return (
        write_head("Deployment", name, "shop")
        + f"spec:\n  selector: {{matchLabels: {labels}}}\n  template:\n"
        f"    metadata: {{labels: {labels}}}\n"
        "    spec: {containers: [{name: a, image: 'a:1'}]}\n"
    )


def lint_hosts(*documents: str) -> list[Finding]:
    hits = lint(parse("---\n".join(documents), "rules.yaml"))
    return [finding for finding in hits if "MP0501" <= finding.code < "MP0600"]


def codes(*documents: str) -> list[str]:
    return [finding.code for finding in lint_hosts(*documents)]


def test_a_subset_that_is_not_there_is_named_with_the_nearest() -> None:
    (finding,) = lint_hosts(
        RULE.replace("name: v2", "name: canary"), route("{host: reviews, subset: canry}")
    )
    assert (finding.code, finding.level, finding.suggestion) == ("MP0501", "error", "canary")
    assert "has v1, canary" in finding.message
    assert codes(RULE, route("{host: reviews, subset: v2}")) == []


def test_a_subset_of_a_wildcard_rule_is_found() -> None:
    wildcard_rule = RULE.replace("host: reviews", "host: '*.shop.svc.cluster.local'")
    assert codes(wildcard_rule, route("{host: reviews, subset: v2}")) == []
    assert codes(wildcard_rule, route("{host: reviews, subset: v3}")) == ["MP0501"]


def test_of_a_rule_that_could_not_be_read_no_subset_is_missed() -> None:
    broken = RULE.replace("{name: v2, labels: {version: v2}}", "{nmae: v2, labels: 5}")
    assert "MP0501" not in codes(broken, route("{host: reviews, subset: v3}"))


def test_a_subset_alone_is_not_enough_to_complain() -> None:
    assert codes(route("{host: reviews, subset: v2}")) == []
    assert codes(SERVICE, route("{host: reviews, subset: v2}")) == ["MP0502"]


def test_a_rule_for_the_host_of_another_namespace_is_pointed_out() -> None:
    (finding,) = lint_hosts(RULE, route("{host: reviews, subset: v2}", namespace="other"))
    assert finding.code == "MP0502"
    assert (
        "host: reviews.other.svc.cluster.local in DestinationRule 'reviews'" in finding.suggestion
    )


def test_a_subset_may_be_defined_twice_in_two_rules() -> None:
    twice = RULE.replace("name: reviews,", "name: again,")
    assert codes(RULE, twice) == ["MP0503", "MP0503"]
    assert codes(RULE, RULE) == []  # one object that replaces the other: MP0209
    (finding,) = lint_hosts(RULE.replace("name: v2", "name: v1"))
    assert finding.suggestion == "name: v2"


V1 = deployment("reviews-v1", "{app: reviews, version: v1}")
V2 = deployment("reviews-v2", "{app: reviews, version: v2}")


def test_subsets_are_held_against_the_workloads_of_their_service() -> None:
    assert codes(SERVICE, V1, V2, RULE) == []
    (finding,) = lint_hosts(SERVICE, V1, RULE)
    assert (finding.code, finding.suggestion) == ("MP0504", "the workloads have version: v1")
    assert "'v2'" in finding.message
    assert codes(V1, RULE) == []
    assert codes(SERVICE, RULE) == []
    assert codes(SERVICE, deployment("other", "{app: other}"), RULE) == []


def test_a_subset_of_common_labels_selects_all() -> None:
    wide_rule = RULE.replace("{version: v2}", "{app: reviews}")
    (finding,) = lint_hosts(SERVICE, V1, V2, wide_rule)
    assert finding.code == "MP0505"
    assert finding.suggestion == "the label that tells them apart: version (v1, v2)"
    assert codes(SERVICE, V1, wide_rule) == []


def test_a_workload_without_the_label_is_reported_once_and_its_subset_not() -> None:
    (finding,) = lint_hosts(SERVICE, deployment("reviews", "{app: reviews}"), RULE)
    assert (finding.code, finding.at.line, finding.suggestion) == ("MP0506", 14, "version: v1")


def test_labels_that_istio_adds_are_not_missed() -> None:
    by_place = RULE.replace("{version: v2}", "{topology.kubernetes.io/zone: a}")
    assert codes(SERVICE, V1, by_place) == []


def test_labels_of_a_route_rule_are_held_against_the_workloads_too() -> None:
    rule = (
        write_head("RouteRule", "a", "shop") + "spec:\n  destination: {name: reviews}\n"
        "  route: [{labels: {version: v3}}]\n"
    )
    assert codes(SERVICE, V1, rule) == ["MP0504"]
    assert codes(V1, rule) == []


@pytest.mark.parametrize(
    ("host", "code", "repair"),
    [
        ("review", "MP0507", "reviews"),
        ("review.shop.svc.cluster.local", "MP0507", "reviews.shop.svc.cluster.local"),
        ("ratings", "MP0507", "one of reviews"),
        ("reviews.shop", "MP0508", "reviews.shop.svc.cluster.local"),
        ("api.example.org", "MP0507", "a ServiceEntry for it"),
        ("reviews.shop.svc", "MP0508", "reviews.shop.svc.cluster.local"),
        ("a.other.svc", "MP0507", "a.other.svc.cluster.local"),
    ],
)
def test_a_host_without_service(host: str, code: str, repair: str) -> None:
    (finding,) = lint_hosts(SERVICE, route(f"{{host: {host}}}"))
    assert (finding.code, finding.suggestion) == (code, repair)
    assert codes(route(f"{{host: {host}}}")) == []


@pytest.mark.parametrize(
    "host",
    [
        "reviews",
        "reviews.shop.svc.cluster.local",
        "a.other.svc.cluster.local",
        "b.istio-system.svc.cluster.local",
    ],
)
def test_a_host_that_is_there_or_elsewhere(host: str) -> None:
    assert codes(SERVICE, route(f"{{host: {host}}}")) == []


def test_a_short_host_means_the_namespace_of_the_rule() -> None:
    (finding,) = lint_hosts(SERVICE, route("{host: reviews}", namespace="rules"))
    assert (finding.code, finding.suggestion) == ("MP0508", "reviews.shop.svc.cluster.local")
    of_the_rule = route("{host: reviews.shop.svc.cluster.local}", namespace="rules")
    (finding,) = lint_hosts(SERVICE, of_the_rule.replace("a.example.com", "reviews"))
    assert (finding.code, finding.at.line) == ("MP0508", 12)


def http_route(backend: str, namespace: str = "shop") -> str:
    return (
        write_head("HTTPRoute", "a", namespace) + f"spec:\n  parentRefs: [{{name: gateway}}]\n"
        f"  rules:\n  - backendRefs: [{backend}]\n"
    )


def test_gateway_api_backends_are_services() -> None:
    assert codes(SERVICE, http_route("{name: reviews, port: 9080}")) == []
    assert codes(SERVICE, http_route("{name: review, port: 9080}")) == ["MP0507"]
    assert codes(SERVICE, http_route("{name: reviews, port: 80}")) == ["MP0510"]
    (finding,) = lint_hosts(SERVICE, http_route("{name: reviews, port: 9080}", "other"))
    assert (finding.code, finding.suggestion) == ("MP0508", "namespace: shop")
    bucket_backend = "{name: bucket, kind: Bucket, group: example.com}"
    assert codes(SERVICE, http_route(bucket_backend)) == []


ENTRY = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: outside}
spec:
  hosts: [api.example.org, '*.example.net']
  ports: [{number: 443, name: http, protocol: HTTP}]
  resolution: DNS
"""


def test_a_service_entry_is_seen_where_it_is_exported() -> None:
    for host in ("api.example.org", "a.example.net"):
        assert codes(ENTRY, route(f"{{host: {host}}}")) == []
    (finding,) = lint_hosts(ENTRY, route("{host: apo.example.org}"))
    assert (finding.code, finding.suggestion) == ("MP0507", "api.example.org")
    hidden = ENTRY.replace("spec:\n", "spec:\n  exportTo: ['.']\n")
    assert codes(hidden, route("{host: api.example.org}")) == ["MP0507"]
    assert codes(hidden, route("{host: api.example.org}", namespace="outside")) == []


@pytest.mark.parametrize(
    ("port", "expected"),
    [("{number: 9080}", []), ("{number: 80}", ["MP0510"]), ("{}", [])],
)
def test_a_port_is_one_of_the_service(port: str, expected: list[str]) -> None:
    assert codes(SERVICE, route(f"{{host: reviews, port: {port}}}")) == expected


def test_a_match_on_a_port_that_no_host_has_never_holds() -> None:
    rule = route("{host: reviews}").replace("a.example.com", "reviews")
    rule = rule.replace("  - route:", "  - match: [{port: 80}]\n    route:")
    (finding,) = lint_hosts(SERVICE, rule)
    assert (finding.code, finding.suggestion) == ("MP0510", "9080")


@pytest.mark.parametrize(
    ("port", "code"),
    [
        ("{name: http, port: 9080}", None),
        ("{name: grpc-web, port: 9080}", None),
        ("{name: web, port: 9080, appProtocol: kubernetes.io/h2c}", None),
        ("{name: tcp-web, port: 9080}", "MP0511"),
        ("{name: http, port: 9080, appProtocol: tcp}", "MP0511"),
        ("{name: mongo, port: 9080}", "MP0511"),
        ("{name: web, port: 9080}", "MP0512"),
        ("{port: 9080}", "MP0512"),
        ("{name: https, port: 9080}", None),
    ],
)
def test_a_routed_port_says_http(port: str, code: str | None) -> None:
    service = SERVICE.replace("{name: http, port: 9080}", port)
    assert codes(service, route("{host: reviews}")) == ([code] if code else [])
    assert codes(service) == []


def test_only_the_ports_that_a_rule_is_for_have_to_say_http() -> None:
    two = SERVICE.replace("[{name: http,", "[{name: tcp-db, port: 3306}, {name: http,")
    assert codes(two, route("{host: reviews}")) == []
    assert codes(two, route("{host: reviews, port: {number: 3306}}")) == ["MP0511"]


GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ['*.example.com']
"""


def test_a_gateways_rule_names_one_of_several_ports() -> None:
    two = SERVICE.replace("ports: [", "ports: [{name: http-admin, port: 9081}, ")
    bound = "  gateways: [front]\n"
    (finding,) = lint_hosts(two, route("{host: reviews}", bound))
    assert (finding.code, finding.suggestion) == ("MP0513", "port: {number: 9081}")
    assert codes(two, route("{host: reviews, port: {number: 9080}}", bound)) == []
    assert codes(two, route("{host: reviews}")) == []
    assert codes(two.replace("9081", "80"), GATEWAY, route("{host: reviews}", bound)) == []


def test_a_sidecar_asks_another_service_for_the_port_that_was_called() -> None:
    second_service = SERVICE.replace("name: reviews,", "name: ratings,").replace("9080", "8080")
    rule = route("{host: ratings}").replace("a.example.com", "reviews")
    (finding,) = lint_hosts(SERVICE, second_service, rule)
    assert (finding.code, finding.suggestion) == ("MP0513", "port: {number: 8080}")
    assert finding.message.endswith(
        "has the port 8080, and sidecars ask for 9080, which was called"
    )
    rule_with_port = rule.replace("{host: ratings}", "{host: ratings, port: {number: 8080}}")
    assert codes(SERVICE, second_service, rule_with_port) == []
    assert codes(SERVICE, second_service.replace("8080", "9080"), rule) == []
    ported = rule.replace("  - route:", "  - match: [{port: 8080}]\n    route:")
    service_with_both_ports = SERVICE.replace("}]", "}, {name: http-b, port: 8080}]")
    assert "MP0513" not in codes(service_with_both_ports, second_service, ported)
    bound = rule.replace("  http:", "  gateways: [front]\n  http:")
    assert "MP0513" not in codes(SERVICE, second_service, GATEWAY, bound)


@pytest.mark.parametrize(
    ("gateways", "code", "repair"),
    [
        ("[front]", None, ""),
        ("[shop/front, mesh]", None, ""),
        ("[./front]", None, ""),
        ("[front.shop.svc.cluster.local]", None, ""),
        ("[fornt]", "MP0509", "front"),
        ("[other/front]", "MP0509", "shop/front"),
        ("[other/lobby]", None, ""),
        ("[shop/gw~istio-autogenerated-k8s-gateway~http]", "MP0509", "an HTTPRoute"),
    ],
)
def test_a_gateway_is_there(gateways: str, code: str | None, repair: str) -> None:
    hits = lint_hosts(GATEWAY, route("{host: reviews}", f"  gateways: {gateways}\n"))
    assert [finding.code for finding in hits] == ([code] if code else [])
    assert not hits or hits[0].suggestion.startswith(repair)


def test_without_gateways_nothing_is_said_about_one() -> None:
    assert codes(route("{host: reviews}", "  gateways: [front]\n")) == []


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        ("'*'", []),
        ("a.example.com", []),
        ("'*.com'", []),
        ("shop/a.example.com", []),
        ("./a.example.com", []),
        ("other/a.example.com", ["MP0515"]),
        ("b.example.com", ["MP0515"]),
        ("example.com", ["MP0515"]),
    ],
)
def test_a_gateway_serves_the_hosts_of_its_rules(served: str, expected: list[str]) -> None:
    gateway = GATEWAY.replace("'*.example.com'", served)
    assert codes(gateway, route("{host: reviews}", "  gateways: [front]\n")) == expected


def test_a_listener_is_named_rightly() -> None:
    gateway = (
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n"
        "metadata: {name: gateway, namespace: shop}\nspec:\n  gatewayClassName: istio\n"
        "  listeners: [{name: https, port: 443, protocol: HTTPS, hostname: '*.example.com',"
        " tls: {certificateRefs: [{name: cert}]}}]\n"
    )
    rule = http_route("{name: reviews, port: 9080}")
    section = rule.replace("{name: gateway}", "{name: gateway, sectionName: http}")
    (finding,) = lint_hosts(gateway, section)
    assert (finding.code, finding.suggestion) == ("MP0515", "https")
    wrong = rule.replace("  rules:", "  hostnames: [a.example.org]\n  rules:")
    assert codes(gateway, wrong) == ["MP0515"]


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ("{number: 80, name: http, protocol: HTTP2}", []),
        ("{number: 80, name: tcp, protocol: TCP}", ["MP0516"]),
        ("{number: 81, name: tcp, protocol: TCP}", []),
    ],
)
def test_two_gateways_share_a_port(second: str, expected: list[str]) -> None:
    second_gateway = GATEWAY.replace("name: front", "name: back").replace(
        "{number: 80, name: http, protocol: HTTP}", second
    )
    assert codes(GATEWAY, second_gateway) == expected
    narrower = second_gateway.replace("{istio: ingressgateway}", "{istio: ingressgateway, app: x}")
    assert codes(GATEWAY, narrower) == expected
    assert codes(GATEWAY, second_gateway.replace("istio: ingressgateway", "istio: other")) == []


@pytest.mark.parametrize(
    ("export", "expected"),
    [("['.']", ["MP0514"]), ("['*']", []), ("[other]", ["MP0514"]), ("['.', ingress]", [])],
)
def test_a_rule_is_seen_by_its_gateway(export: str, expected: list[str]) -> None:
    head = f"  gateways: [ingress/front]\n  exportTo: {export}\n"
    assert codes(route("{host: reviews}", head)) == expected


def test_a_rule_of_sidecars_is_seen_by_the_workloads_that_are_here() -> None:
    head = "  exportTo: [elsewhere]\n"
    assert codes(route("{host: reviews}", head)) == []
    assert codes(SERVICE, V1, route("{host: reviews}", head)) == ["MP0514"]
    assert codes(SERVICE, V1, route("{host: reviews}", "  exportTo: ['.']\n")) == []


def test_a_destination_rule_is_seen_by_the_gateway_that_needs_it() -> None:
    hidden = RULE.replace("spec:\n", "spec:\n  exportTo: ['.']\n")
    sent = route("{host: reviews, subset: v1}", "  gateways: [ingress/front]\n")
    assert codes(hidden, sent) == ["MP0514"]
    assert codes(hidden, sent.replace("ingress/front", "front")) == []


def test_a_rule_for_sidecars_does_not_hold_at_the_gateway() -> None:
    chosen = route("{host: reviews, subset: v1}").replace("[a.example.com]", "[reviews]")
    chosen = chosen.replace("name: a,", "name: b,")
    bound = "  gateways: [front]\n"
    (finding,) = lint_hosts(RULE, chosen, route("{host: reviews}", bound))
    assert finding.code == "MP0517"
    assert codes(RULE, chosen, route("{host: reviews, subset: v2}", bound)) == []
    rule_for_both = chosen.replace("  http:", "  gateways: [front, mesh]\n  http:")
    assert codes(RULE, rule_for_both, route("{host: reviews}", bound)) == []
