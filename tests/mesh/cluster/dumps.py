"""Proxies of a stand-in whose config dumps have the form that Envoy gives them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.api.objects import RunObject
from meshproof.mesh.cluster.proxies import proxies
from meshproof.mesh.cluster.proxies.proxies import Proxy

SIDECAR, GATEWAY = Proxy("cart-1", "ours"), Proxy("gw-1", "istio-system", gateway=True)
ELSEWHERE = Proxy("pay-1", "ours-pay")


def rule(kind: str = "VirtualService", **spec: object) -> RunObject:
    metadata = {"name": "cart", "namespace": "ours"}
    version = "networking.istio.io/v1"
    return RunObject({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})


def routes(*sources: str, updated: str = "1") -> str:
    return json.dumps(
        {"configs": [{"last_updated": updated, "config": path} for path in sources]}, indent=1
    )


def listener(*chains: str) -> str:
    filter_chains = [{"filter_chain_match": {"transport_protocol": chain}} for chain in chains]
    return json.dumps(
        {"configs": [{"active_state": {"listener": {"filter_chains": filter_chains}}}]}
    )


def assigned(**clusters: list[str]) -> str:
    """Return a dump of endpoints: cluster -> addresses, with `!` before one that is ejected."""

    def endpoint(address: str) -> dict[str, Any]:
        where = {"address": {"socket_address": {"address": address.strip("!"), "port_value": 80}}}
        healthy = "UNHEALTHY" if address.startswith("!") else "HEALTHY"
        return {"endpoint": where, "health_status": healthy}

    configs = [
        {
            "endpoint_config": {
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": [endpoint(address) for address in addresses]}]
                if addresses
                else [],
            }
        }
        for name, addresses in clusters.items()
    ]
    return json.dumps({"configs": configs})


STRICT, PERMISSIVE = listener("tls", "tls"), listener("tls", "raw_buffer")
SOURCE = "/apis/networking.istio.io/v1/namespaces/ours/virtual-service/cart"


def serve(
    monkeypatch: pytest.MonkeyPatch,
    answers: dict[str, list[str]],
    inbound: str = "",
    slow: float = 0,
    endpoints: Iterable[str] = (),
) -> None:
    """Let each pod answer its texts in turn for routes, the last one from then on.

    `endpoints` are what they answer in turn for those, likewise. `slow` is how long each answer
    takes, in seconds, and all the time that there is.
    """
    if slow:
        monkeypatch.setattr(timeouts, "CONFIG_SERVED", slow)
    turns: dict[str, Iterator[str]] = {pod: iter(texts) for pod, texts in answers.items()}
    last: dict[str, str] = {}
    of_endpoints = iter(endpoints)

    def ask(pod: str, port: int, path: str) -> str:
        time.sleep(slow)
        if pod not in turns:
            raise NotReady(f"cannot forward port {port} of {pod}: not found")
        if "listeners" in path:
            return inbound
        if "endpoint" in path:
            last["endpoints"] = next(of_endpoints, last.get("endpoints", assigned()))
            return last["endpoints"]
        if "clusters" in path:
            return routes()
        last[pod] = next(turns[pod], last.get(pod, ""))
        return last[pod]

    class Channel:
        def __init__(self, kube: object, pod: str, namespace: str, port: int) -> None:
            self._to = pod, port

        def ask(self, path: str) -> str:
            return ask(*self._to, path)

        def close(self) -> None:
            pass

    monkeypatch.setattr(proxies, "Channel", Channel)
