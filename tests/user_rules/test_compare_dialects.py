"""`compare` between dialects: the same meaning changes nothing, another one is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshproof.cli import main
from tests.user_rules.shop_texts import GATEWAY, HTTP_ROUTE

ROUTE_RULES = """\
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: beta, namespace: shop}
spec:
  destination: {name: cart}
  precedence: 2
  match: {request: {headers: {x-beta: {exact: "true"}}}}
  route: [{labels: {version: v2}}]
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: canary, namespace: shop}
spec:
  destination: {name: cart}
  precedence: 1
  route: [{labels: {version: v1}, weight: 75}, {labels: {version: v2}, weight: 25}]
"""
VIRTUAL_SERVICE = f"""\
{GATEWAY}\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: cart, namespace: shop}}
spec:
  hosts: [cart]
  http:
  - match: [{{headers: {{x-beta: {{exact: "true"}}}}}}]
    route: [{{destination: {{host: cart, subset: v2}}}}]
  - route:
    - {{destination: {{host: cart, subset: v1}}, weight: 75}}
    - {{destination: {{host: cart, subset: v2}}, weight: 25}}
"""
INGRESS = """\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop, annotations: {kubernetes.io/ingress.class: istio}}
spec:
  rules:
  - host: shop.example
    http:
      paths:
      - {path: /cart, pathType: Prefix, backend: {service: {name: cart, port: {number: 80}}}}
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
"""
WHOLE_HTTP_ROUTE = f"{HTTP_ROUTE}  - backendRefs: [{{name: web, port: 80}}]\n"
TLS_RULES = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    tls: {mode: SIMPLE, credentialName: shop}
    hosts: [shop.example]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: shop}
spec:
  hosts: [shop.example]
  gateways: [gw]
  http:
  - match: [{uri: {prefix: /cart}}]
    route: [{destination: {host: cart}}]
  - route: [{destination: {host: web}}]
"""
SWAPPED = VIRTUAL_SERVICE.replace("75}", "X}").replace("25}", "75}").replace("X}", "25}")
PAIRS = [
    pytest.param(ROUTE_RULES, VIRTUAL_SERVICE, id="RouteRule-VirtualService"),
    pytest.param(INGRESS, WHOLE_HTTP_ROUTE, id="Ingress-HTTPRoute"),
    pytest.param(TLS_RULES, TLS_RULES, id="https-https"),
]


def compare(folder: Path, before: str, after: str, *arguments: str) -> int:
    (folder / "a.yaml").write_text(before)
    (folder / "b.yaml").write_text(after)
    return main(["compare", str(folder / "a.yaml"), str(folder / "b.yaml"), *arguments])


@pytest.mark.parametrize(
    ("changed", "words"),
    [("MUTUAL", "TLS MUTUAL"), ("OPTIONAL_MUTUAL", "TLS OPTIONAL_MUTUAL")],
)
def test_another_tls_mode_of_a_gateway_is_a_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: str, words: str
) -> None:
    other = TLS_RULES.replace("mode: SIMPLE", f"mode: {changed}")
    assert compare(tmp_path, TLS_RULES, other, "--no-send") == 1
    output = capsys.readouterr().out
    assert words in output
    assert "TLS SIMPLE" in output


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_the_same_meaning_in_two_dialects_changes_nothing(
    tmp_path: Path, before: str, after: str
) -> None:
    assert compare(tmp_path, before, after, "--no-send") == 0
    assert compare(tmp_path, after, before, "--no-send") == 0


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (ROUTE_RULES, SWAPPED, "GET cart.shop/ from default\n    cart v1 75 %, cart v2 25 %"),
        (SWAPPED, ROUTE_RULES, "GET cart.shop/ from default\n    cart v1 25 %, cart v2 75 %"),
        (
            INGRESS,
            WHOLE_HTTP_ROUTE.replace("name: web", "name: wbe"),
            "GET shop.example/\n    web  (",
        ),
        (
            WHOLE_HTTP_ROUTE,
            INGRESS.replace("/cart", "/basket"),
            "GET shop.example/cart\n    cart  (",
        ),
        (TLS_RULES, TLS_RULES.replace("host: web", "host: wbe"), "/\n    web  ("),
    ],
    ids=["RouteRule", "to-RouteRule", "HTTPRoute", "Ingress", "https"],
)
def test_another_meaning_is_found_with_its_smallest_request(
    tmp_path: Path, capsys: Any, before: str, after: str, words: str
) -> None:
    assert compare(tmp_path, before, after, "--no-send") == 1
    assert words in capsys.readouterr().out


# Without splits, which a mesh draws at random.
@pytest.mark.local
@pytest.mark.parametrize(("before", "after"), PAIRS[1:])
def test_real_envoys_of_each_dialect_do_what_their_side_says(
    tmp_path: Path, before: str, after: str
) -> None:
    assert compare(tmp_path, before, after) == 0
