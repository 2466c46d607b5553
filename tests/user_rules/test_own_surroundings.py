"""ServiceEntries make hosts known; a Sidecar is context, unless it hides a rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshproof import inventory, rules
from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.inventory.known_hosts import KnownHosts
from meshproof.rules.known_hosts import read_known_hosts

Run = Callable[..., Any]
ENTRY = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside}
spec:
  hosts: [api.example, "*.wide.example"]
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]
  endpoints: [{address: 10.0.0.1, labels: {version: v1}}, {address: 10.0.0.2}]
---
"""
RULE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: outside}
spec:
  hosts: [HOST]
  http:
  - match: [{uri: {prefix: /late}}]
    timeout: 0.2s
    route: [{destination: {host: HOST}}]
  - route: [{destination: {host: shop}}]
---
"""
SIDECAR = """\
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: NAMESPACE}
spec: {egress: [{hosts: [HOSTS]}]}
"""


def read(text: str) -> KnownHosts:
    documents = manifest.parse(text, "r.yaml")
    found = rules.read_rules(one for one in documents if one.kind not in inventory.INVENTORY_KINDS)
    return read_known_hosts(documents, found)


def test_hosts_of_a_service_entry_with_the_ports_of_http() -> None:
    found = read(ENTRY + RULE.replace("HOST", "api.example"))
    assert found.external_hosts == ("api.example", "*.wide.example")
    assert found.ports["api.example"] == found.ports["*.wide.example"] == (80,)
    assert found.workloads["api.example"] == ((("version", "v1"),),)


def test_ports_that_only_matches_name() -> None:
    text = RULE.replace("HOST", "shop").replace("{uri: {prefix: /late}}", "{port: 8080}")
    assert read(text).ports == {"shop.default.svc.cluster.local": (8080,)}


@pytest.mark.parametrize(
    ("namespace", "hosts"),
    [
        ("default", "'*/*'"),
        ("default", "./*"),
        ("default", "'*/shop.default.svc.cluster.local'"),
        ("istio-system", "default/*"),
        ("other", "./nothing"),  # the callers are not in its namespace
    ],
)
def test_a_sidecar_that_shows_the_host(namespace: str, hosts: str) -> None:
    sidecar = SIDECAR.replace("NAMESPACE", namespace).replace("HOSTS", hosts)
    assert read(RULE.replace("HOST", "shop") + sidecar)


@pytest.mark.parametrize(
    ("namespace", "hosts"),
    [("default", "istio-system/*"), ("default", "./other.example"), ("istio-system", "./*")],
)
def test_a_sidecar_that_hides_the_rule(namespace: str, hosts: str) -> None:
    sidecar = SIDECAR.replace("NAMESPACE", namespace).replace("HOSTS", hosts)
    with pytest.raises(BadRules) as error:
        read(RULE.replace("HOST", "shop") + sidecar)
    assert str(error.value) == (
        "r.yaml:15:16: spec.egress: this Sidecar hides shop.default.svc.cluster.local from its "
        "callers, so that the rule at r.yaml:1 has no effect"
    )


@pytest.mark.local
def test_hosts_outside_get_echo_workloads(meshproof: Run, tmp_path: Path) -> None:
    text = "".join(RULE.replace("HOST", host) for host in ("api.example", "'*.wide.example'"))
    text = text.replace("name: outside", "name: wide", 2).replace("name: wide", "name: api", 1)
    (tmp_path / "rule.yaml").write_text(ENTRY + text)
    ended = meshproof("test", "--rules", "rule.yaml")
    assert ended.code == 0, ended.output
    assert {
        "api.example: path /late -> any version",
        "api.example: path /late, answered too late -> 504 after 0.2 s",
        "api.example: any other request -> shop",
        "*.wide.example: path /late -> any version",
    } <= set(ended.results)
