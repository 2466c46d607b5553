"""`compare`: each planted change is found with its smallest request, and nothing else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshproof.cli import main
from meshproof.mesh.envoy import translate
from tests.user_rules.shop_texts import GATEWAY, HTTP_ROUTE

RULE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: shop}
spec:
  hosts: [shop.example]
  gateways: [gw]
  http:
  - name: beta
    match: [{uri: {prefix: /cart}, headers: {x-beta: {exact: "true"}}}]
    route: [{destination: {host: cart, subset: v2}}]
  - name: canary
    match: [{uri: {prefix: /cart}}]
    route:
    - {destination: {host: cart, subset: v1}, weight: 90}
    - {destination: {host: cart, subset: v2}, weight: 10}
  - name: web
    route: [{destination: {host: web}}]
"""
Compare = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Compare:
    """Compare two texts of rules; return the exit code and the report."""
    monkeypatch.chdir(tmp_path)

    def run(before: str, after: str, *arguments: str) -> tuple[int, dict[str, Any]]:
        Path("a.yaml").write_text(GATEWAY + before if "HTTPRoute" not in before else before)
        Path("b.yaml").write_text(GATEWAY + after if "HTTPRoute" not in after else after)
        code = main(["compare", "a.yaml", "b.yaml", "-o", "json", *arguments])
        return code, json.loads(capsys.readouterr().out)

    return run


def list_changes(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (change["request"], change["before"]["answer"], change["after"]["answer"])
        for change in report["changes"]
    ]


def test_the_same_rules_change_nothing(compare: Compare) -> None:
    code, report = compare(RULE, RULE, "--no-send")
    assert (code, report["changes"], report["no_longer_reached"]) == (0, [], [])
    assert report["requests"] > 10


SWAPPED = RULE.replace("90}", "X}").replace("10}", "90}").replace("X}", "10}")


def test_swapped_weights_are_found(compare: Compare) -> None:
    code, report = compare(RULE, SWAPPED, "--no-send")
    assert code == 1
    assert list_changes(report) == [
        ("GET shop.example/cart", "cart v1 90 %, cart v2 10 %", "cart v1 10 %, cart v2 90 %")
    ]


def test_a_lost_header_match_is_found_with_the_route_that_is_no_longer_reached(
    compare: Compare,
) -> None:
    after = RULE.replace(', headers: {x-beta: {exact: "true"}}', "")
    code, report = compare(RULE, after, "--no-send")
    assert code == 1
    assert list_changes(report) == [
        ("GET shop.example/cart", "cart v1 90 %, cart v2 10 %", "cart v2")
    ]
    (lost,) = report["no_longer_reached"]
    assert lost.startswith("route 2 'canary' of shop is no longer reached")


def test_a_renamed_host_is_not_served_on_one_side(compare: Compare) -> None:
    code, report = compare(RULE, RULE.replace("host: web", "host: wbe"), "--no-send")
    assert code == 1
    assert list_changes(report) == [("GET shop.example/", "web", "wbe")]


def test_a_conversion_that_loses_its_subsets_is_found(compare: Compare) -> None:
    code, report = compare(RULE, HTTP_ROUTE, "--no-send")
    assert code == 1
    changes = {request: (before, after) for request, before, after in list_changes(report)}
    assert changes["GET shop.example/cart"] == ("cart v1 90 %, cart v2 10 %", "cart")
    assert changes["GET shop.example/"] == ("web", "answered 404")


ACTIONS = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: shop}
spec:
  hosts: [shop.example]
  gateways: [gw]
  http:
  - match: [{uri: {prefix: /old}}]
    redirect: {uri: /new}
  - match: [{uri: {prefix: /fixed}}]
    directResponse: {status: 200, body: {string: "hello"}}
  - match: [{uri: {prefix: /cart}}]
    #extra
    route:
    - destination: {host: cart, subset: v1}
      weight: 75
      #headers
    - destination: {host: cart, subset: v2}
      weight: 25
"""
_REQUEST = "GET shop.example/cart"


@pytest.mark.parametrize(
    ("before", "after", "request_text", "words"),
    [
        ("redirect: {uri: /new}", "redirect: {uri: /newer}", "GET shop.example/old", "/newer"),
        (
            "redirect: {uri: /new}",
            "redirect: {uri: /new, redirectCode: 308}",
            "GET shop.example/old",
            "308",
        ),
        (
            "redirect: {uri: /new}",
            "redirect: {uri: /new, port: 8080}",
            "GET shop.example/old",
            "http://shop.example:8080/new",
        ),
        ('string: "hello"', 'string: "bye"', "GET shop.example/fixed", "body 'bye'"),
        (
            "#headers",
            "headers: {request: {set: {x-a: b}}}",
            "GET shop.example/cart",
            "x-a arrives as 'b'",
        ),
    ],
)
def test_a_changed_action_is_named(
    compare: Compare, before: str, after: str, request_text: str, words: str
) -> None:
    code, report = compare(ACTIONS, ACTIONS.replace(before, after), "--no-send")
    assert code == 1
    changes = list_changes(report)
    assert (changes[0][0], len(changes)) == (request_text, 1)
    assert words in changes[0][2]


def test_headers_that_move_to_another_destination_are_found(compare: Compare) -> None:
    changed = "headers: {request: {set: {x-a: b}}}"
    before = ACTIONS.replace("#headers", changed)
    after = ACTIONS.replace("weight: 25", f"weight: 25\n      {changed}")
    code, report = compare(before, after, "--no-send")
    assert (code, list_changes(report)[0][0]) == (1, _REQUEST)


POLICY = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec:
  host: web
  trafficPolicy:
    loadBalancer: {consistentHash: {httpHeaderName: x-user}}
    connectionPool: {http: {http1MaxPendingRequests: 3}}
---
"""


def test_a_lost_hash_and_a_lost_limit_are_named_with_the_request_that_has_them(
    compare: Compare,
) -> None:
    code, report = compare(POLICY + RULE, RULE, "--no-send")
    assert code == 1
    ((request, before, after),) = list_changes(report)
    assert request == "GET shop.example/"
    for name in ("loadBalancer.consistentHash.httpHeaderName", "http1MaxPendingRequests"):
        assert name in before
        assert name in after
    assert "x-user for web" in before


def test_a_destination_of_weight_0_changes_nothing(compare: Compare) -> None:
    zero = "\n    - {destination: {host: web}, weight: 0}\n"
    after = ACTIONS.replace("weight: 25\n", f"weight: 25{zero}")
    code, report = compare(ACTIONS, after, "--no-send")
    assert (code, report["changes"]) == (0, [])


def test_a_renamed_host_with_a_subset_is_named_with_its_request(compare: Compare) -> None:
    after = RULE.replace("host: cart, subset: v2}}]", "host: crat, subset: v2}}]")
    code, report = compare(RULE, after, "--no-send")
    assert code == 1
    assert list_changes(report) == [
        ("GET shop.example/cart x-beta: true", "cart v2", "crat v2; crat v2 is not defined")
    ]
    assert report["not_compared"] == []


def test_a_subset_that_nothing_defines_is_the_end_of_its_route_alone(compare: Compare) -> None:
    after = RULE.replace("subset: v1}", "subset: v9}")
    code, report = compare(RULE, after, "--no-send")
    assert code == 1
    assert list_changes(report) == [
        (
            "GET shop.example/cart",
            "cart v1 90 %, cart v2 10 %",
            "cart v9 90 %, cart v2 10 %; cart v9 is not defined",
        )
    ]
    code, report = compare(after, after, "--no-send")
    assert (code, report["changes"], report["not_compared"]) == (0, [], [])


AUTHENTICATION = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: shop}
spec: {mtls: {mode: STRICT}}
---
"""
FILTER = """\
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: lua, namespace: shop}
spec: {}
---
"""


def test_what_is_not_compared_is_named_and_never_green(compare: Compare) -> None:
    code, report = compare(AUTHENTICATION + RULE, RULE, "--no-send")
    assert (code, report["changes"]) == (3, [])
    (line,) = report["not_compared"]
    assert "PeerAuthentication shop/strict spec.mtls.mode STRICT" in line
    code, report = compare(AUTHENTICATION + RULE, AUTHENTICATION + RULE, "--no-send")
    assert (code, report["not_compared"]) == (0, [])
    allowed = ("--allow-unsupported", "PeerAuthentication/strict:spec.mtls.mode")
    code, _ = compare(AUTHENTICATION + RULE, RULE, "--no-send", *allowed)
    assert code == 0


def test_an_object_that_is_not_checked_is_named_and_never_green(compare: Compare) -> None:
    code, report = compare(FILTER + RULE, RULE, "--no-send")
    assert (code, report["changes"]) == (3, [])
    assert any("EnvoyFilter shop/lua" in line for line in report["not_compared"])
    allowed = ("--allow-unsupported", "EnvoyFilter/lua")
    code, _ = compare(FILTER + RULE, RULE, "--no-send", *allowed)
    assert code == 0


def test_expected_changes_are_taken_and_one_that_does_not_come_is_said(compare: Compare) -> None:
    expected = Path("changes.txt")
    expected.write_text("# the canary grows\n~ GET shop.example/cart    v1 -> v2\n")
    code, report = compare(RULE, SWAPPED, "--no-send", "--expect-changes", "changes.txt")
    assert (code, report["expected_but_unchanged"]) == (0, [])
    expected.write_text("GET shop.example/cart\nGET shop.example/wishes\n")
    code, report = compare(RULE, SWAPPED, "--no-send", "--expect-changes", "changes.txt")
    assert (code, report["expected_but_unchanged"]) == (1, ["GET shop.example/wishes"])


def test_a_revision_is_a_side_and_its_places_are_named_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)

    Path("k8s").mkdir()
    Path("k8s/shop.yaml").write_text(GATEWAY + RULE)
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-q", "-m", "rules")
    Path("k8s/shop.yaml").write_text(GATEWAY + SWAPPED)
    assert main(["compare", "main:k8s", "k8s", "--no-send"]) == 1
    output = capsys.readouterr().out
    assert "~ GET shop.example/cart\n" in output
    assert "main:k8s/shop.yaml:" in output
    assert "meshproof-revision" not in output
    for side, words in (
        ("mian:k8s", "'mian' is no git revision here; did you mean 'main'?"),
        ("main:k9s", "revision main has no k9s; did you mean 'k8s'?"),
        ("k8s@isitod", "no mesh 'isitod'"),
    ):
        assert main(["compare", side, "k8s", "--no-send"]) == 64
        assert words in capsys.readouterr().err


def test_two_sides_with_no_common_host_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(GATEWAY + RULE)
    Path("b.yaml").write_text((GATEWAY + RULE).replace("shop.example", "other.example"))
    assert main(["compare", "a.yaml", "b.yaml"]) == 64
    assert "have no host in common: shop.example, and other.example" in capsys.readouterr().err


@pytest.mark.local
def test_real_envoys_of_both_sides_are_asked(
    compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, report = compare(RULE, RULE)
    assert (code, report["meshes_that_differ"]) == (0, [])
    tables = translate._translate_routes
    monkeypatch.setattr(
        translate, "_translate_routes", lambda *given: list(reversed(tables(*given)))
    )
    code, report = compare(RULE, RULE)
    assert (code, report["changes"]) == (1, [])
    assert any(
        line.startswith("a.yaml: GET shop.example/cart") and "a real Envoy: web" in line
        for line in report["meshes_that_differ"]
    )


PORTS = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80}, {name: http-admin, port: 9090}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: doors, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 8080, name: http, protocol: HTTP}, hosts: [shop.example]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [shop.example]
  gateways: [doors]
  http:
  - match: [{uri: {prefix: /admin}}]
    route: [{destination: {host: web, port: {number: 9090}}}]
  - route: [{destination: {host: web, port: {number: 80}}}]
"""


@pytest.mark.parametrize(
    ("former", "latter", "request_text", "words"),
    [
        ("port: 9090}]", "port: 9091}]", "GET shop.example:8080/admin", "web cannot answer"),
        ("name: http-admin", "name: tcp-admin", "GET shop.example:8080/admin", "port 9090 (tcp)"),
        ("port: 9090}]", "port: 9090, targetPort: 99}]", "GET shop.example:8080/admin", "to 99"),
        ("selector: {app: web}", "selector: {app: wbe}", "GET shop.example:8080/", "pods app=wbe"),
        ("port: {number: 9090}", "port: {number: 80}", "GET shop.example:8080/admin", "port 80"),
        ("number: 8080", "number: 8081", "GET shop.example:8080/", "not served"),
        ("istio: ingressgateway", "istio: other", "GET shop.example:8080/", "proxy istio=other"),
    ],
)
def test_a_changed_port_or_selector_of_a_service_or_gateway_is_found_either_way(
    compare: Compare, former: str, latter: str, request_text: str, words: str
) -> None:
    after = PORTS.replace(former, latter)
    assert after != PORTS
    code, report = compare(PORTS, after, "--no-send")
    assert code == 1
    changes = {change[0]: change[2] for change in list_changes(report)}
    assert words in changes[request_text]
    assert compare(after, PORTS, "--no-send")[0] == 1
    assert compare(PORTS, PORTS, "--no-send")[0] == 0


@pytest.mark.parametrize("type_text", ["", "type: ClusterIP, "])
def test_a_changed_selector_is_found_beside_a_left_over_external_name(
    compare: Compare, type_text: str
) -> None:
    before = PORTS.replace("{selector", f"{{{type_text}externalName: x.example, selector")
    after = before.replace("selector: {app: web}", "selector: {app: wbe}")
    assert after != before != PORTS
    code, report = compare(before, after, "--no-send")
    assert code == 1
    assert all("pods app=wbe" in change[2] for change in list_changes(report))


def test_a_port_that_is_no_longer_http_is_found_where_callers_name_it(compare: Compare) -> None:
    before = PORTS.replace("hosts: [shop.example]\n", "hosts: [web]\n").replace("[doors]", "[mesh]")
    before = before.replace("host: web, port: {number: 9090}", "host: cart")
    after = before.replace("name: http-admin", "name: tcp-admin")
    code, report = compare(before, after, "--no-send")
    assert code == 1
    changes = list_changes(report)
    assert len(changes) == 2  # of each route
    for request, former, latter in changes:
        assert ":9090/" in request
        assert former.endswith("web has port 9090 (HTTP) to 9090")
        assert latter.endswith("web has port 9090 (tcp) to 9090")


def test_ports_of_a_service_that_is_not_known_are_compared_where_both_sides_name_them(
    compare: Compare,
) -> None:
    named = RULE.replace("host: web}", "host: web, port: {number: 80}}")
    code, report = compare(named, named.replace("number: 80", "number: 81"), "--no-send")
    assert (code, list_changes(report)) == (
        1,
        [("GET shop.example/", "web; web port 80", "web; web port 81")],
    )
    code, report = compare(RULE, named, "--no-send")
    assert (code, report["changes"]) == (3, [])
    assert "port 80 of web: its Service is not known" in report["not_compared"][0]


_CORS = '{allowOrigins: [{exact: "https://a.example"}], allowMethods: [PUT], maxAge: 60s}'
BROWSERS = f"""\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: shop, namespace: shop}}
spec:
  hosts: [shop.example]
  gateways: [gw]
  http:
  - match: [{{uri: {{prefix: /cart}}}}]
    route: [{{destination: {{host: cart}}}}]
    corsPolicy: {_CORS}
  - route: [{{destination: {{host: web}}}}]
"""
_ABORT = "fault: {abort: {httpStatus: 500, percentage: {value: 50}}}"
_DELAY = "fault: {delay: {fixedDelay: 1s, percentage: {value: 100}}}"


@pytest.mark.local
@pytest.mark.parametrize("added", ["", "unmatchedPreflights: IGNORE", _ABORT, _DELAY])
def test_a_preflight_is_answered_by_the_proxy_on_each_side(compare: Compare, added: str) -> None:
    after = BROWSERS.replace("maxAge: 60s", f"maxAge: 60s, {added}")
    if "fault" in added:
        after = BROWSERS.replace("    corsPolicy", f"    {added}\n    corsPolicy")
    code, report = compare(BROWSERS, after)
    assert report["meshes_that_differ"] == []
    assert code == (1 if added else 0)


def test_what_becomes_of_a_preflight_is_a_change_of_its_own(compare: Compare) -> None:
    code, report = compare(
        BROWSERS, BROWSERS.replace(f"    corsPolicy: {_CORS}\n", ""), "--no-send"
    )
    assert code == 1
    (_, preflight) = list_changes(report)
    assert preflight[0].startswith("OPTIONS shop.example/cart")
    assert "origin: https://a.example" in preflight[0]
    assert preflight[1].startswith("answered 200 to its preflight")
    assert preflight[2] == "cart; no corsPolicy"
