"""What istiod ignores, hides or refuses, held against a real istiod; and what it takes."""

from __future__ import annotations

import pytest

from meshproof.documents.manifest import parse
from meshproof.documents.sources import SourceFiles
from meshproof.lint import Finding, lint
from meshproof.lint.engine.folding import fold_by_folder
from meshproof.lint.engine.output import render_text
from tests.manifest_text import write_head

SUBSETS = "{host: HOST, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {v: v2}}]}"
V1 = "route: [{destination: {host: cart, subset: v1}}]"
V2 = "route: [{destination: {host: cart, subset: v2}}]"
GATEWAY = write_head("Gateway", "gw", "shop") + (
    "spec: {selector: {istio: ingressgateway}, servers: "
    "[{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example]}]}\n---\n"
)


def destination_rule(namespace: str = "shop", host: str = "cart") -> str:
    spec = SUBSETS.replace("HOST", host)
    return write_head("DestinationRule", "cart", namespace) + f"spec: {spec}\n---\n"


def rule(*routes: str, head: str = "hosts: [cart]") -> str:
    """Return a VirtualService of shop; its routes begin in line 7, one a line."""
    lines = "".join(f"  - {{{route}}}\n" for route in routes)
    return write_head("VirtualService", "cart", "shop") + f"spec:\n  {head}\n  http:\n{lines}"


def sidecar(hosts: str, namespace: str = "shop", spec: str = "") -> str:
    egress = f"spec: {{{spec}egress: [{{hosts: [{hosts}]}}]}}\n---\n"
    return write_head("Sidecar", "default", namespace) + egress


def find(text: str) -> list[tuple[str, str]]:
    """Return code and level of each finding, without those on older versions."""
    return [(finding.code, str(finding.level)) for finding in lint(parse(text, "k8s/a.yaml"))]


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("{gateways: [mesh], sourceLabels: {app: beta}}", [("MP0308", "warning")]),
        ("{gateways: [mesh], sourceNamespace: bank}", [("MP0308", "warning")]),
        ("{sourceLabels: {app: beta}}", []),
        ("{sourceNamespace: bank}", []),
    ],
)
def test_a_caller_beside_gateways_is_ignored(match: str, expected: list[tuple[str, str]]) -> None:
    text = destination_rule() + rule(f"match: [{match}], {V2}", V1)
    assert [hit for hit in find(text) if hit[0] != "MP0305"] == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('":authority"', [("MP0309", "info")]),
        ("host", [("MP0309", "info")]),
        ("Host", [("MP0309", "info")]),
        ("authority", [("MP0309", "warning")]),
        ("uri", [("MP0309", "warning")]),
        ("x-host", []),
    ],
)
def test_a_header_that_is_another_part(header: str, expected: list[tuple[str, str]]) -> None:
    text = rule(f"match: [{{headers: {{{header}: {{exact: cart}}}}}}], {V2}", V1)
    assert find(destination_rule() + text) == expected


CART = "cart.shop.svc.cluster.local"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (destination_rule("platform", CART), [("MP0527", "warning")]),
        (destination_rule("istio-system", CART), []),
        (destination_rule(), []),
        (destination_rule("platform", CART) + destination_rule(), [("MP0503", "warning")] * 2),
    ],
)
def test_a_subset_of_a_third_namespace(text: str, expected: list[tuple[str, str]]) -> None:
    assert find(text + rule(V1)) == expected


GATE = """\
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: platform}
spec:
  selector: {app: gate}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example]}]
"""
GATE_POD = """\
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gate, namespace: NAMESPACE}
spec:
  selector: {matchLabels: {app: gate}}
  template:
    metadata: {labels: {app: gate}}
    spec: {containers: [{name: proxy, image: auto}]}
"""


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ((), None),
        ((GATE, GATE_POD.replace("NAMESPACE", "platform")), None),
        (
            (GATE, GATE_POD.replace("NAMESPACE", "edge")),
            "and the proxies of Gateway platform/gw, in edge, do not see it",
        ),
        (
            (GATE,),
            "and the proxies of Gateway platform/gw do not see it if they run in istio-system (no "
            "pod with app=gate is known)",
        ),
    ],
)
def test_a_gateways_proxy_sees_the_rules_of_its_own_namespace(
    texts: tuple[str, ...], words: str | None
) -> None:
    """Its own is that of its pods, not that of the Gateway; without pods the message says so."""
    head = "hosts: [shop.example], gateways: [platform/gw]".replace(", gateways", "\n  gateways")
    destination = V1.replace("host: cart", f"host: {CART}")
    text = "".join((destination_rule("platform", CART), rule(destination, head=head), *texts))
    messages = [
        finding.message for finding in lint(parse(text, "k8s/a.yaml")) if finding.code == "MP0527"
    ]
    expected = [] if words is None else [f"is in namespace platform, {words}"]
    assert [message.partition(") ")[2] for message in messages] == expected


@pytest.mark.parametrize(
    ("hosts", "destination", "expected"),
    [
        ('"*.shop.svc.cluster.local"', "cart", [("MP0528", "warning")]),
        ('"*.shop.svc.cluster.local"', "cart.bank.svc.cluster.local", []),
        ('"*.example.com"', "cart", []),
        ("cart", "cart", []),
    ],
)
def test_a_wildcard_of_services(
    hosts: str, destination: str, expected: list[tuple[str, str]]
) -> None:
    route = f"route: [{{destination: {{host: {destination}}}}}]"
    assert find(rule(route, head=f"hosts: [{hosts}]")) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (sidecar('"bank/*", "istio-system/*"'), [("MP0529", "warning")]),
        (sidecar('"./*"'), []),
        (sidecar('"shop/*"'), []),
        (sidecar('"*/*"'), []),
        (sidecar(f'"./{CART}"'), []),
        (sidecar('"bank/*"', namespace="bank"), []),
        (sidecar('"bank/*"', spec="workloadSelector: {labels: {app: a}}, "), []),
    ],
)
def test_a_sidecar_that_hides_a_host(text: str, expected: list[tuple[str, str]]) -> None:
    assert find(text + rule("route: [{destination: {host: cart}}]")) == expected


@pytest.mark.parametrize(
    ("retries", "expected"),
    [
        ('{attempts: 2, retryOn: "gateway-error,connect-failure,503,409"}', []),
        ("{attempts: 2}", []),
        ("{attempts: 0}", []),
        ('{attempts: 2, retryOn: "retriable-status-codes,599"}', [("MP0610", "error")]),
        ('{attempts: 2, retryOn: "5xx, 503"}', [("MP0610", "error")]),
        ("{attempts: 2, retryOn: gateway-errors}", [("MP0610", "error")]),
        ("{attempts: 0, perTryTimeout: 1s}", [("MP0610", "error")]),
        ("{retryOn: 5xx}", [("MP0610", "error")]),
    ],
)
def test_retries_that_istio_refuses(retries: str, expected: list[tuple[str, str]]) -> None:
    route = f"retries: {retries}, route: [{{destination: {{host: cart}}}}]"
    assert find(rule(route)) == expected


@pytest.mark.parametrize(
    ("timeout", "is_refused"), [("150µs", True), ("0.5ms", True), ("1ms", False)]
)
def test_a_duration_below_a_millisecond_is_refused(timeout: str, is_refused: bool) -> None:
    findings = find(rule(f"timeout: {timeout}, route: [{{destination: {{host: cart}}}}]"))
    assert findings == ([("MP0105", "error")] if is_refused else [])


CLAIM = 'match: [{headers: {"@request.auth.claims.group": {exact: admin}}}], '
TOKENS = write_head("RequestAuthentication", "jwt", "istio-system") + (
    "spec: {jwtRules: [{issuer: a, jwksUri: 'https://a.example/jwks'}]}\n---\n"
)


@pytest.mark.parametrize(("tokens", "expected"), [("", ["MP0307"]), (TOKENS, [])])
def test_a_claim_that_no_file_checks(tokens: str, expected: list[str]) -> None:
    head = "hosts: [shop.example]\n  gateways: [gw]"
    text = tokens + GATEWAY + destination_rule() + rule(CLAIM + V2, V1, head=head)
    assert [code for code, _ in find(text)] == expected


BACKENDS = (
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a}\n"
    "spec: {parentRefs: [{kind: Service, group: '', name: cart}], rules: [{backendRefs: ["
    "{name: cart, port: 80, weight: 90}, {name: SECOND, weight: WEIGHT}]}]}\n"
)


@pytest.mark.parametrize(
    ("second", "weight", "expected"),
    [
        ("cart, port: 80", "10", [("MP0611", "warning")]),
        ("cart, port: 81", "10", []),
        ("cart-v2, port: 80", "10", []),
        ("cart, port: 80", "0", []),
    ],
)
def test_two_backends_of_one_service(
    second: str, weight: str, expected: list[tuple[str, str]]
) -> None:
    assert find(BACKENDS.replace("SECOND", second).replace("WEIGHT", weight)) == expected


def test_a_mirror_to_a_subset_of_weight_0_is_no_mirror_to_itself() -> None:
    split = (
        "route: [{destination: {host: cart, subset: v1}, weight: FIRST}, "
        "{destination: {host: cart, subset: v2}, weight: SECOND}], "
        "mirror: {host: cart, subset: v2}"
    )
    idle = split.replace("FIRST", "100").replace("SECOND", "0")
    assert find(destination_rule() + rule(idle)) == []
    both = split.replace("FIRST", "90").replace("SECOND", "10")
    assert find(destination_rule() + rule(both)) == [("MP0603", "warning")]


@pytest.mark.parametrize(
    ("hosts", "gateways", "expected"),
    [
        ("shop.example, b.example", "gw, gw-b", []),
        ("shop.example, c.example", "gw, gw-b", ["MP0515"] * 3),  # gw-b serves neither
        ("shop.example, c.example", "gw, elsewhere/gw", ["MP0509"]),
        ("b.example", "gw", ["MP0515"]),
        ("b.example", "gw, gw-b", ["MP0515"]),
    ],
)
def test_each_host_is_served_by_one_of_the_gateways(
    hosts: str, gateways: str, expected: list[str]
) -> None:
    second = GATEWAY.replace("name: gw,", "name: gw-b,").replace("shop.example", "b.example")
    head = f"hosts: [{hosts}]\n  gateways: [{gateways}]"
    text = GATEWAY + second + rule("route: [{destination: {host: cart}}]", head=head)
    assert [code for code, _ in find(text)] == expected


MIXER = "apiVersion: config.istio.io/v1alpha2\nkind: KIND\nmetadata: {name: a}\nspec: {jwts: []}\n"


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        ("denier", ["MP0204"]),
        ("EndUserAuthenticationPolicySpec", ["MP0204"]),
        ("RouteRul", ["MP0101", "MP0106", "MP0201", "MP0204"]),
    ],
)
def test_kinds_of_mixer_are_removed_and_nothing_else(kind: str, codes: list[str]) -> None:
    assert sorted({code for code, _ in find(MIXER.replace("KIND", kind))}) == codes


@pytest.mark.parametrize(
    ("version", "codes"),
    [("v1", ["MP0202"]), ("v1beta1", ["MP0202"]), ("v1alpha3", ["MP0203"])],
)
def test_an_envoy_filter_is_served_in_one_version(version: str, codes: list[str]) -> None:
    text = f"apiVersion: networking.istio.io/{version}\nkind: EnvoyFilter\nmetadata: {{name: a}}\n"
    findings = lint(parse(f"{text}spec: {{}}\n", "a.yaml"))
    assert [finding.code for finding in findings] == codes
    assert version == "v1alpha3" or findings[0].suggestion == "networking.istio.io/v1alpha3"


POLICY = (
    "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: pay}\n"
    "spec: {targetRefs: [{group: '', kind: Service, name: TARGET}], "
    "validation: {hostname: a.example, wellKnownCACertificates: System}}\n---\n"
)
PAY = (
    "apiVersion: v1\nkind: Service\nmetadata: {name: pay}\n"
    "spec: {selector: {app: a}, ports: [{name: https, port: 443, appProtocol: https}]}\n---\n"
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: pay}\n"
    "spec: {parentRefs: [{name: gw}], rules: [{backendRefs: [{name: pay, port: 443}]}]}\n"
)


@pytest.mark.parametrize(("target", "expected"), [("pay", []), ("cart", ["MP0606"])])
def test_a_backend_policy_begins_tls(target: str, expected: list[str]) -> None:
    codes = [code for code, _ in find(POLICY.replace("TARGET", target) + PAY)]
    assert [code for code in codes if code == "MP0606"] == expected


def lint_files(files: dict[str, str]) -> list[Finding]:
    documents = [document for file, text in files.items() for document in parse(text, file)]
    return lint(documents)


def test_what_a_folder_has_as_a_whole_is_one_line_for_each_folder() -> None:
    text = rule("route: [{destination: {host: cart}}]")
    old = text.replace("networking.istio.io/v1", "networking.istio.io/v1beta1")
    findings = lint_files({"a/1.yaml": old, "a/2.yaml": old, "a/3.yaml": old, "b/1.yaml": old})
    assert [finding.code for finding in findings].count("MP0209") == 3
    folded = {
        finding.code: finding.message
        for finding in fold_by_folder(findings)
        if finding.at.file.startswith("a/")
    }
    assert folded["MP0206"].endswith("; and 2 objects of older apiVersions in a (-o json has each)")
    assert "; and 1 object of a name that others have in a " in folded["MP0209"]
    assert sum(finding.code == "MP0206" for finding in fold_by_folder(findings)) == 2
    text_output = "".join(part for part, _ in render_text(findings, SourceFiles()))
    assert text_output.count("info MP0206") == 2
    assert "3 errors" in text_output
