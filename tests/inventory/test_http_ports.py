"""Which ports of a Service may be HTTP: those that declare nothing else."""

from __future__ import annotations

import pytest

from meshproof.documents import manifest
from meshproof.inventory import Inventory
from meshproof.inventory.known_hosts import list_known_hosts
from meshproof.inventory.world import World

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [PORTS]}
"""


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ("{port: 80}", (80,)),
        ("{name: http-web, port: 80}, {name: tcp-main, port: 81}", (80,)),
        ("{name: grpc, port: 80}, {name: https, port: 81}, {name: tls-a, port: 82}", (80,)),
        ("{name: whatever, port: 80}, {name: redis, port: 81}", (80,)),
        ("{name: tcp-a, appProtocol: http, port: 80}", (80,)),
        ("{name: dns, protocol: UDP, port: 53}, {name: mysql, port: 3306}", ()),
    ],
)
def test_ports_that_declare_another_protocol_are_left_out(
    ports: str, expected: tuple[int, ...]
) -> None:
    documents = manifest.parse(SERVICE.replace("PORTS", ports), "r.yaml")
    known_hosts = list_known_hosts(Inventory(documents), World())
    host = "cart.shop.svc.cluster.local"
    assert known_hosts.http_ports[host] == expected
    assert len(known_hosts.ports[host]) == ports.count("port:")
