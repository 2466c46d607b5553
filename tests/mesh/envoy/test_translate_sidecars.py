"""What a proxy gets of services and rules where a Sidecar says what it imports."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshproof.documents import manifest
from meshproof.mesh.envoy import translate
from meshproof.mesh.envoy.envoy import Resource
from meshproof.mesh.envoy.translate import Snapshot
from meshproof.rules.known_hosts import read_valid_sidecars
from tests.mesh.envoy.translating import IDENTITY, app, pod, snapshot
from tests.sidecar_texts import CALLERS, RULE, SEEN, write_sidecar

APPS = "---\n".join(
    (
        app("cart", "v1", namespace="shop", ports=(80, 8080)),
        app("page", "v1"),
    )
)


def serve(rule: str, sidecar_text: str) -> Snapshot:
    mesh = snapshot(rule, apps=APPS)
    sidecars = read_valid_sidecars(manifest.parse(sidecar_text, "sidecar.yaml"))
    return replace(mesh, rules=replace(mesh.rules, sidecars=sidecars))


def find_routes(
    mesh: Snapshot, caller: tuple[str, tuple[tuple[str, str], ...], int]
) -> list[Resource]:
    namespace, labels, port = caller
    proxy = replace(pod(mesh), namespace=namespace, labels=labels)
    config = translate.translate_sidecar_routes(mesh, proxy)
    domain = f"cart.shop.svc.cluster.local:{port}"
    hosts = [host for host in config["virtual_hosts"] if domain in host["domains"]]
    return [route for host in hosts for route in host["routes"]]


@pytest.mark.parametrize("text", SEEN)
def test_a_proxy_gets_what_its_sidecar_imports(text: str) -> None:
    mesh = serve(RULE, text)
    served = []
    for caller in CALLERS:
        names = [route["name"] for route in find_routes(mesh, caller)]
        served.append({("cart",): "rule", ("default",): "service", (): "nothing"}[tuple(names)])
    assert " ".join(served) == SEEN[text]


def test_a_rule_of_a_namespace_that_is_not_imported_has_no_effect() -> None:
    rule = RULE.replace("namespace: shop", "namespace: routes")
    mesh = serve(rule, write_sidecar("default", "shop/*"))
    assert [route["name"] for route in find_routes(mesh, CALLERS[0])] == ["default"]


def test_a_rule_without_its_service_holds_at_port_80_by_the_name_that_it_has() -> None:
    rule = RULE.replace("namespace: shop", "namespace: routes")
    mesh = serve(rule, write_sidecar("default", "routes/*"))
    assert [route["name"] for route in find_routes(mesh, CALLERS[0])] == ["cart"]
    config = translate.translate_sidecar_routes(mesh, pod(mesh))
    names = [name for host in config["virtual_hosts"] for name in host["domains"]]
    assert [name for name in names if "cart" in name] == [
        "cart.shop.svc.cluster.local:80",
        "cart.shop.svc.cluster.local",
    ]


def test_a_listener_with_a_port_knows_that_port_of_a_destination_alone() -> None:
    rule = RULE.replace("svc.cluster.local}}", "svc.cluster.local, port: {number: 8080}}}")
    made = {cluster["name"] for cluster in translate.translate_clusters(serve(rule, ""), IDENTITY)}
    for port, is_known in ((0, True), (80, False)):
        mesh = serve(rule, write_sidecar("default", "shop/*", port=port))
        (route,) = find_routes(mesh, CALLERS[0])
        assert (route["route"]["cluster"] in made) == is_known
