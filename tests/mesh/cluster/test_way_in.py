"""Which way in is taken, and why not a better one, for every kind of Service."""

from __future__ import annotations

import contextlib
import importlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from meshproof.base import timeouts
from meshproof.base.errors import NotReady, UsageError
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.ingress.address import IngressAddress, open_ingress
from meshproof.mesh.protocol import ClusterOptions
from meshproof.plugin import settings
from meshproof.plugin.run_context import get_options

#: The module; the package has the function under that name.
address_module = importlib.import_module("meshproof.mesh.cluster.ingress.address")
HOST = "meshproof-x.test"


def service(kind: str = "LoadBalancer", **options: Any) -> dict[str, Any]:
    """Return a Service of the ingress; `node_port`, `target` and `ingress` as they are given."""
    port = {"port": address_module.HTTP_PORT, "targetPort": options.get("target", 8080)}
    if options.get("node_port"):
        port["nodePort"] = options["node_port"]
    return {
        "metadata": {"name": "gateway", "namespace": "ingress"},
        "spec": {"type": kind, "selector": {"istio": "gateway"}, "ports": [port]},
        "status": {"loadBalancer": {"ingress": options.get("ingress")}},
    }


def pod(ports: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "metadata": {"name": "gateway-0", "namespace": "ingress"},
        "spec": {"containers": [{"name": "other"}, {"name": "istio-proxy", "ports": ports or []}]},
        "status": {"phase": "Running", "hostIP": "127.0.0.1"},
    }


@dataclass
class Cluster:
    """Stands in for the API server: one Service, and the pods behind it."""

    gateway_service: dict[str, Any] | None
    pods: list[dict[str, Any]] = field(default_factory=lambda: [pod()])
    cluster_name: str = "context x"
    other_services: list[dict[str, Any]] = field(default_factory=list)
    forwarded: list[tuple[str, str, int]] = field(default_factory=list)

    def get(self, *arguments: str) -> dict[str, Any] | None:
        assert arguments == ("v1", "Service", "gateway", "ingress")
        return self.gateway_service

    def list(self, *arguments: str) -> list[dict[str, Any]]:
        if arguments == ("v1", "Service"):
            return self.other_services
        assert arguments == ("v1", "Pod", "ingress", "istio=gateway")
        return self.pods

    def open_port(self, name: str, namespace: str, port: int) -> socket.socket:
        self.forwarded.append((name, namespace, port))
        client_socket, pod_socket = socket.socketpair()
        with pod_socket:
            pod_socket.sendall(b"from the pod")
        return client_socket

    def way_in(self, gateway_url: str = "") -> contextlib.AbstractContextManager[IngressAddress]:
        return open_ingress(cast("Kube", self), "ingress", "gateway", gateway_url, HOST)


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A port that somebody listens on; it is the port of the ingress, too."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(address_module, "HTTP_PORT", port)
        yield port


@pytest.fixture
def closed() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("load_balancer", [{"ip": "127.0.0.1"}, {"hostname": "localhost"}])
def test_a_load_balancer_comes_first(listening: int, load_balancer: dict[str, str]) -> None:
    with Cluster(service(ingress=[load_balancer], node_port=1)).way_in() as ingress:
        (host,) = load_balancer.values()
        assert (ingress.address.host, ingress.address.port) == (host, listening)
        assert ingress.address.authority == HOST
        assert ingress.description == f"LoadBalancer (http://{host}:{listening})"


def test_a_pending_load_balancer_leaves_the_node_port(listening: int) -> None:
    with Cluster(service(node_port=listening)).way_in() as ingress:
        assert (ingress.address.host, ingress.address.port) == ("127.0.0.1", listening)
        assert ingress.description == (
            f"NodePort (http://127.0.0.1:{listening}); LoadBalancer is pending"
        )


def test_a_load_balancer_out_of_reach_leaves_the_node_port(
    listening: int, closed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address_module, "HTTP_PORT", closed)
    with Cluster(service(ingress=[{"ip": "127.0.0.1"}], node_port=listening)).way_in() as ingress:
        assert ingress.address.port == listening
        assert f"LoadBalancer (http://127.0.0.1:{closed}) cannot be reached" in ingress.description


def test_a_node_port_out_of_reach_leaves_the_port_forward(closed: int) -> None:
    cluster = Cluster(service("NodePort", node_port=closed))
    with cluster.way_in() as ingress:
        assert ingress.description.startswith(
            "port-forward to gateway-0; it is a NodePort; NodePort (http"
        )
        assert "cannot be reached" in ingress.description
        with socket.create_connection((ingress.address.host, ingress.address.port)) as client:
            client.settimeout(timeouts.ADMIN)
            assert client.recv(100) == b"from the pod"
    assert cluster.forwarded == [("gateway-0", "ingress", 8080)]
    with pytest.raises(OSError, match=r"refused|reset"):
        socket.create_connection((ingress.address.host, ingress.address.port)).recv(1)


def test_a_service_without_a_node_port_is_forwarded_to_its_named_port() -> None:
    named_port_pod = pod(
        [{"name": "admin", "containerPort": 15000}, {"name": "web", "containerPort": 8081}]
    )
    cluster = Cluster(service("ClusterIP", target="web"), [named_port_pod])
    with cluster.way_in() as ingress:
        assert ingress.description == "port-forward to gateway-0; it is a ClusterIP"
        with socket.create_connection((ingress.address.host, ingress.address.port)) as client:
            client.settimeout(timeouts.ADMIN)
            client.recv(100)
    assert cluster.forwarded == [("gateway-0", "ingress", 8081)]


def test_what_is_missing_is_named() -> None:
    ended = {**pod(), "status": {"phase": "Failed"}}
    for cluster, message in (
        (Cluster(None), "no ingress gateway is known: Service ingress/gateway is missing"),
        (Cluster(service(), [ended]), "no pod runs behind the ingress gateway ingress/gateway"),
        (
            Cluster(service("ClusterIP", target="wbe")),
            "the port 'wbe', which no container of gateway-0 has",
        ),
    ):
        with pytest.raises(NotReady, match=message), cluster.way_in():
            pass


def test_a_service_without_the_port_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway_service = service()
    monkeypatch.setattr(address_module, "HTTP_PORT", 81)
    with pytest.raises(NotReady, match="gateway has no port 81"), Cluster(gateway_service).way_in():
        pass


@pytest.mark.parametrize("gateway_url", ["http://127.0.0.1:8080", "127.0.0.1:8080"])
def test_a_given_url_is_taken_as_it_is(gateway_url: str) -> None:
    with Cluster(service()).way_in(gateway_url) as ingress:
        assert (ingress.address.host, ingress.address.port) == ("127.0.0.1", 8080)
        assert ingress.address.authority == HOST
        assert ingress.description == f"{gateway_url}, as it was given"


@pytest.mark.parametrize(
    ("gateway_service", "why"),
    [
        (None, "Service ingress/gateway is missing"),
        ({**service(), "spec": {"type": "ExternalName"}}, "Service ingress/gateway selects no pod"),
    ],
)
def test_behind_a_given_url_the_gateway_is_to_be_known(gateway_service: Any, why: str) -> None:
    helm = {
        "metadata": {"name": "istio-ingress", "namespace": "istio-ingress"},
        "spec": {"selector": {"app": "istio-ingress", "istio": "ingress"}},
    }
    istiod = {
        "metadata": {"name": "istiod", "namespace": "istio-system"},
        "spec": {"selector": {"app": "istiod", "istio": "pilot"}},
    }
    cluster = Cluster(gateway_service, other_services=[istiod, helm, {**istiod, "spec": {}}])
    with pytest.raises(NotReady) as excinfo, cluster.way_in("http://127.0.0.1:8080"):
        pass
    assert str(excinfo.value) == (
        f"context x: no ingress gateway is known: {why}; name the Service of yours with "
        "--mesh-ingress NAMESPACE/NAME: there is istio-ingress/istio-ingress"
    )


@pytest.mark.parametrize("refused", ["get", "list"])
def test_what_one_may_not_read_is_no_gateway(refused: str) -> None:
    """A load balancer is known by its URL, the gateway behind it may be somebody else's."""

    class Forbidding(Cluster):
        def get(self, *arguments: str) -> dict[str, Any] | None:
            if refused == "get":
                raise NotReady("context x: not allowed to get Service gateway")
            return super().get(*arguments)

        def list(self, *arguments: str) -> list[dict[str, Any]]:
            raise NotReady(f"context x: not allowed to list {arguments[1]}")

    messages = {
        "get": "not allowed to get Service gateway",
        "list": "Service ingress/gateway is missing.*--mesh-ingress NAMESPACE/NAME$",
    }
    with pytest.raises(NotReady, match=messages[refused]):
        Forbidding(None).way_in("http://127.0.0.1:8080").__enter__()


@pytest.mark.parametrize("gateway_url", ["https://x", "ftp://x", "http://"])
def test_a_url_that_cannot_be_used_is_said(gateway_url: str) -> None:
    with (
        pytest.raises(UsageError, match=r"expected http://HOST"),
        Cluster(None).way_in(gateway_url),
    ):
        pass


def read_cluster_options(config: pytest.Config) -> ClusterOptions:
    return settings.read_cluster_options(get_options(config))


def test_the_url_comes_from_the_option_or_the_environment(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not read_cluster_options(pytester.parseconfig()).gateway_url
    monkeypatch.setenv("GATEWAY_URL", "10.0.0.1:31380")
    assert read_cluster_options(pytester.parseconfig()).gateway_url == "10.0.0.1:31380"
    config = pytester.parseconfig("--mesh-gateway-url=http://gate.example")
    assert read_cluster_options(config).gateway_url == "http://gate.example"
