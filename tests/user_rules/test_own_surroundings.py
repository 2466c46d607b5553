"""ServiceEntries make hosts known; a Sidecar says what its callers see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshproof import inventory, rules
from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.inventory.known_hosts import KnownHosts
from meshproof.rules.known_hosts import read_known_hosts, read_valid_sidecars

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
metadata: {name: default, namespace: bank}
spec: {egress: [{hosts: [HOSTS]}]}
"""


def read(text: str) -> KnownHosts:
    documents = manifest.parse(text, "r.yaml")
    found = rules.read_rules(one for one in documents if one.kind not in inventory.INVENTORY_KINDS)
    return read_known_hosts(documents, found)


def test_hosts_of_a_service_entry_with_the_ports_of_http() -> None:
    found = read(ENTRY + RULE.replace("HOST", "api.example"))
    assert found.external_hosts == ("api.example", "*.wide.example")
    assert found.http_ports["api.example"] == found.http_ports["*.wide.example"] == (80,)
    assert found.tls_ports["api.example"] == (443,)
    assert found.workloads["api.example"] == ((("version", "v1"),),)


def test_ports_that_only_matches_name() -> None:
    text = RULE.replace("HOST", "shop").replace("{uri: {prefix: /late}}", "{port: 8080}")
    assert read(text).ports == {"shop.default.svc.cluster.local": (8080,)}


@pytest.mark.parametrize("hosts", ["shop", "/", "a/b/c"])
def test_an_entry_of_a_sidecar_that_is_no_host_of_a_namespace(hosts: str) -> None:
    documents = manifest.parse(SIDECAR.replace("HOSTS", hosts), "r.yaml")
    with pytest.raises(BadRules, match=r"^r.yaml:4:26: spec.egress\[0\].hosts\[0\]: expected name"):
        read_valid_sidecars(documents)


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
