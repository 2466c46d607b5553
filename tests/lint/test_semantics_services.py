"""Gateways, ServiceEntries, Sidecars, services: what is said of them together, and when not."""

from __future__ import annotations

import pytest

from meshproof.documents.manifest import parse
from meshproof.lint import Finding, lint
from tests.manifest_text import write_head

SERVICE_CODES = ("MP0213", *(f"MP05{number}" for number in range(18, 27)))


def format_object(kind: str, name: str, spec: str, namespace: str = "shop") -> str:
    return f"{write_head(kind, name, namespace)}spec: {spec}\n"


def service(name: str, ports: str, selector: str = "{app: a}", namespace: str = "shop") -> str:
    return format_object("Service", name, f"{{selector: {selector}, ports: [{ports}]}}", namespace)


def pods(labels: str, namespace: str = "shop") -> str:
    containers = "spec: {containers: [{name: a, image: 'a:1'}]}"
    template = f"{{metadata: {{labels: {labels}}}, {containers}}}"
    spec = f"{{selector: {{matchLabels: {labels}}}, template: {template}}}"
    return format_object("Deployment", "a", spec, namespace)


def gateway(name: str, server: str, selector: str = "{istio: ingress}") -> str:
    return format_object("Gateway", name, f"{{selector: {selector}, servers: [{server}]}}")


def entry(name: str, spec: str, namespace: str = "shop") -> str:
    return format_object("ServiceEntry", name, spec, namespace)


def lint_services(*documents: str) -> list[Finding]:
    return [
        finding
        for finding in lint(parse("---\n".join(documents), "rules.yaml"))
        if finding.code in SERVICE_CODES
    ]


def codes(*documents: str) -> list[str]:
    return [finding.code for finding in lint_services(*documents)]


INGRESS = pods("{istio: ingress}")
SERVER = "{port: {number: NUMBER, name: http, protocol: HTTP}, hosts: ['*']}"


@pytest.mark.parametrize(
    ("ports", "number", "expected"),
    [
        ("{port: 80, targetPort: 8080}", "80", []),
        ("{port: 80, targetPort: 8080}", "8080", []),
        ("{port: 80, targetPort: 8080}", "8081", ["MP0518"]),
        ("{port: 80}", "8080", ["MP0518"]),
        ("{port: 80, protocol: UDP}, {port: 81}", "80", ["MP0518"]),
        ("{port: 80, targetPort: http}", "8080", []),
    ],
)
def test_a_gateway_listens_where_its_service_leads(
    ports: str, number: str, expected: list[str]
) -> None:
    server = gateway("a", SERVER.replace("NUMBER", number))
    in_front = service("ingress", ports, "{istio: ingress}")
    assert codes(INGRESS, in_front, server) == expected
    assert codes(in_front, server) == []  # who is behind the service is not known
    assert codes(INGRESS, server) == []  # what is in front of the workload is not known
    elsewhere = service("ingress", ports, "{istio: ingress}", "other")
    assert codes(INGRESS, elsewhere, server) == []


TLS = "{port: {number: 443, name: https, protocol: HTTPS}, hosts: [HOST], tls: TLS}"


def secured(name: str, tls: str, selector: str = "{istio: ingress}") -> str:
    server = TLS.replace("HOST", f"{name}.example.com").replace("TLS}", f"{tls}}}")
    return gateway(name, server, selector)


@pytest.mark.parametrize(
    ("tls", "other_server", "selector", "expected"),
    [
        ("{mode: SIMPLE, credentialName: x}", "{mode: SIMPLE, credentialName: x}", "", ["MP0519"]),
        ("{mode: SIMPLE, credentialName: x}", "{mode: MUTUAL, credentialName: x}", "", ["MP0519"]),
        ("{mode: SIMPLE, credentialName: x}", "{mode: SIMPLE, credentialName: y}", "", []),
        (
            "{mode: SIMPLE, credentialName: x}",
            "{mode: SIMPLE, credentialName: x}",
            "{istio: ingress, zone: a}",
            ["MP0519"],
        ),
        (
            "{mode: SIMPLE, credentialName: x}",
            "{mode: SIMPLE, credentialName: x}",
            "{istio: private}",
            [],
        ),
        (
            "{mode: SIMPLE, serverCertificate: /c, privateKey: /k}",
            "{mode: SIMPLE, serverCertificate: /c, privateKey: /k}",
            "",
            ["MP0519"],
        ),
        (
            "{mode: SIMPLE, serverCertificate: /c, privateKey: /k}",
            "{mode: SIMPLE, serverCertificate: /c, privateKey: /l}",
            "",
            [],
        ),
        ("{mode: PASSTHROUGH}", "{mode: PASSTHROUGH}", "", []),
    ],
)
def test_a_certificate_is_in_one_gateway(
    tls: str, other_server: str, selector: str, expected: list[str]
) -> None:
    assert (
        codes(secured("a", tls), secured("b", other_server, selector or "{istio: ingress}"))
        == expected
    )


def test_one_gateway_may_serve_a_certificate_twice() -> None:
    tls = "{mode: SIMPLE, credentialName: x}"
    servers = [
        TLS.replace("HOST", host).replace("TLS}", f"{tls}}}")
        for host in ("a.example.com", "b.example.com")
    ]
    assert codes(gateway("a", ", ".join(servers))) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("{hosts: [a.b], ports: [{number: 1, name: a, protocol: TCP}]}", ["MP0520"]),
        ("{hosts: [a.b], ports: [{number: 1, name: a, protocol: tcp}]}", ["MP0520"]),
        ("{hosts: [a.b], ports: [{number: 1, name: a}]}", ["MP0520"]),
        ("{hosts: [a.b], ports: [{number: 1, name: a, protocol: TLS}]}", []),
        ("{hosts: [a.b], ports: [{number: 1, name: a, protocol: MONGO}]}", []),
        ("{hosts: [a.b], addresses: [192.0.2.1], ports: [{number: 1, name: a}]}", []),
        ("{hosts: [a.b], ports: [{number: 1, name: a}]}\nstatus: {addresses: [{value: x}]}", []),
    ],
)
def test_tcp_needs_an_address(spec: str, expected: list[str]) -> None:
    assert codes(entry("a", spec)) == expected


def test_a_protocol_that_is_none_is_one_finding() -> None:
    text = entry("a", "{hosts: [a.b], ports: [{number: 1, name: a, protocol: 7}]}")
    assert len(lint(parse(text, "rules.yaml"))) == 1


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("", "", ["MP0521"]),
        ("exportTo: [.], ", "exportTo: [.], ", []),
        ("exportTo: [.], ", "exportTo: [shop], ", ["MP0521"]),
        ("exportTo: [.], ", "", ["MP0521"]),
        ("exportTo: ['*'], ", "exportTo: [.], ", ["MP0521"]),
    ],
)
def test_who_sees_two_entries_sees_one_protocol(
    first: str, second: str, expected: list[str]
) -> None:
    spec = "{{{}hosts: [a.b], ports: [{{number: 443, name: a, protocol: {}}}]}}"
    first_entry = entry("a", spec.format(first, "TLS"))
    assert codes(first_entry, entry("a", spec.format(second, "HTTP"), "other")) == expected
    assert codes(first_entry, entry("a", spec.format(second, "TLS"), "other")) == []
    second_spec = spec.format(second, "HTTP").replace("443", "80")
    assert codes(first_entry, entry("a", second_spec, "other")) == []


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("{port: 80, name: http, targetPort: 1}", "{port: 80, name: tcp, targetPort: 2}", True),
        ("{port: 80, name: http, targetPort: 1}", "{port: 80, name: grpc, targetPort: 2}", False),
        ("{port: 80, name: http, targetPort: 1}", "{port: 80, name: web, targetPort: 2}", False),
        ("{port: 80, name: http, targetPort: 1}", "{port: 80, protocol: UDP, targetPort: 2}", True),
        ("{port: 80, name: http, targetPort: 1}", "{port: 81, name: tcp, targetPort: 2}", False),
    ],
)
def test_services_agree_on_a_port(first: str, second: str, expected: bool) -> None:
    expected_codes = ["MP0522"] if expected else []
    services = [service("x", first), service("y", second)]
    assert codes(*services, pods("{app: a}")) == expected_codes
    assert codes(*services) == []
    assert codes(*services, pods("{app: a}", "other")) == []
    assert codes(*services, pods("{app: a, sidecar.istio.io/inject: 'false'}")) == []
    assert (
        codes(*services, pods("{app: a}"), pods("{app: a, b: c}").replace("name: a,", "name: b,"))
        == expected_codes
    )


def test_the_ports_of_one_service_may_be_tcp_and_udp() -> None:
    dns = (
        "{port: 53, name: tcp, targetPort: 1}, {port: 53, protocol: UDP, name: dns, targetPort: 1}"
    )
    assert codes(service("x", dns), pods("{app: a}")) == []


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ("{port: 80, targetPort: 8080}, {port: 81, targetPort: 8080}", ["MP0523"]),
        ("{port: 80, targetPort: web}, {port: 81, targetPort: web}", ["MP0523"]),
        ("{port: 80, targetPort: 81}, {port: 81}", ["MP0523"]),
        ("{port: 80, targetPort: 8080}, {port: 81, targetPort: 8080, protocol: UDP}", []),
        ("{port: 80, targetPort: 8080}, {port: 81, targetPort: 8081}", []),
    ],
)
def test_a_target_port_has_one_port_before_it(ports: str, expected: list[str]) -> None:
    assert codes(service("x", ports), pods("{app: a}")) == expected
    assert codes(service("x", ports)) == []


def sidecar(name: str, labels: str = "", namespace: str = "shop") -> str:
    chosen = f"workloadSelector: {{labels: {labels}}}, " if labels else ""
    return format_object("Sidecar", name, f"{{{chosen}egress: [{{hosts: [./*]}}]}}", namespace)


def test_two_sidecars_for_a_namespace() -> None:
    assert codes(sidecar("a"), sidecar("b")) == ["MP0524"]
    assert codes(sidecar("a"), sidecar("b", namespace="other")) == []
    assert codes(sidecar("a"), sidecar("b", "{app: b}")) == []
    (finding,) = lint_services(sidecar("a"), sidecar("b"))
    assert (finding.at.line, finding.level) == (8, "warning")
    assert "all of namespace shop, as Sidecar 'a' is" in finding.message


def test_two_sidecars_for_a_workload() -> None:
    assert codes(sidecar("a", "{app: a}"), sidecar("b", "{app: a}")) == ["MP0524"]
    assert codes(sidecar("a", "{app: a}"), sidecar("b", "{app: a, version: v1}")) == ["MP0524"]
    apart = [sidecar("a", "{app: a}"), sidecar("b", "{version: v1}")]
    assert codes(*apart) == []
    assert codes(*apart, pods("{app: a, version: v1}")) == ["MP0524"]
    assert (
        codes(*apart, pods("{app: a}"), pods("{version: v1}").replace("name: a,", "name: b,")) == []
    )


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("Sidecar", "{workloadSelector: {labels: LABELS}}"),
        ("DestinationRule", "{host: b.example.com, workloadSelector: {matchLabels: LABELS}}"),
        ("PeerAuthentication", "{selector: {matchLabels: LABELS}, mtls: {mode: STRICT}}"),
        ("RequestAuthentication", "{selector: {matchLabels: LABELS}}"),
        ("AuthorizationPolicy", "{selector: {matchLabels: LABELS}}"),
    ],
)
def test_a_selector_selects_something(kind: str, spec: str) -> None:
    wrong = format_object(kind, "x", spec.replace("LABELS", "{app: ordrs}"))
    (finding,) = lint_services(pods("{app: orders}"), wrong)
    assert (finding.code, finding.suggestion) == ("MP0525", "app: orders")
    assert codes(pods("{app: orders}"), wrong.replace("ordrs", "orders")) == []
    assert codes(wrong) == []
    assert codes(pods("{app: orders}", "other"), wrong) == []
    root = wrong.replace("namespace: shop", "namespace: istio-system")
    assert codes(pods("{app: orders}", "istio-system"), root) == []


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ("{port: 443, name: tcp}", ["MP0526"]),
        ("{port: 443, name: web}", ["MP0526"]),
        ("{port: 443}", ["MP0526"]),
        ("{port: 443, appProtocol: tcp, name: x}", ["MP0526"]),
        ("{port: 443, appProtocol: https, name: x}", []),
        ("{port: 443, name: tls-api}", []),
    ],
)
def test_an_external_name_is_no_tcp(port: str, expected: list[str]) -> None:
    spec = f"{{type: ExternalName, externalName: a.example.com, ports: [{port}]}}"
    assert codes(format_object("Service", "a", spec)) == expected
    assert codes(format_object("Service", "a", spec.replace("type: ExternalName, ", ""))) == []


@pytest.mark.parametrize(
    ("route", "repair"),
    [
        ("fault: {delay: {percent: 5, fixedDelay: 5s}}", "percentage: {value: 5}"),
        ("mirror: {host: b}, mirrorPercent: 7", "mirrorPercentage: {value: 7}"),
        ("mirror: {host: b}, mirror_percent: 7", "mirrorPercentage: {value: 7}"),
        ("corsPolicy: {allowOrigin: ['*']}", "allowOrigins: [{exact: ...}]"),
        ("fault: {delay: {percentage: {value: 5}, fixedDelay: 5s}}", ""),
    ],
)
def test_a_deprecated_key_says_what_is_written_today(route: str, repair: str) -> None:
    spec = f"{{hosts: [a], http: [{{route: [{{destination: {{host: a}}}}], {route}}}]}}"
    assert [
        finding.suggestion for finding in lint_services(format_object("VirtualService", "a", spec))
    ] == [repair] * bool(repair)


def test_a_sidecar_has_no_egress_proxy() -> None:
    spec = "{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a}}}"
    assert codes(format_object("Sidecar", "default", spec)) == ["MP0213"]
