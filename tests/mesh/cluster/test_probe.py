"""The probe pod, without a cluster: its script runs here, a socket stands for the port-forward."""

from __future__ import annotations

import http.server
import io
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshproof.apps import echo_pod
from meshproof.apps import probe as script
from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.api.images import PROBE_IMAGE
from meshproof.mesh.cluster.api.objects import RunScope
from meshproof.mesh.cluster.run.probe import Probe
from meshproof.mesh.cluster.run.probes import Probes
from meshproof.mesh.envoy.certificates import Authority
from meshproof.mesh.http import HttpRequest, HttpResponse, NoResponse
from meshproof.mesh.protocol import Address

LABELS = {"meshproof/run": "1"}
REFUSED = (
    'context x: not allowed to apply Pod p: pods "p" is forbidden: violates PodSecurity '
    '"restricted:latest": unrestricted capabilities (container "istio-init" must not include '
    '"NET_ADMIN", "NET_RAW")'
)


class LostAnswer(socket.socket):
    """A connection that ends when an answer has begun to come."""

    def makefile(self, *arguments: Any, **options: Any) -> Any:
        self.recv(1)
        self.close()
        return io.BytesIO()


class EmptyAnswers(http.server.BaseHTTPRequestHandler):
    """Answers each GET with 200 and an empty body."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()


class Cluster:
    """Takes objects and forwards to a script that runs here; see `meshproof...client.Kube`."""

    def __init__(self, port: int, refused: str = "", services: tuple[str, ...] = ()) -> None:
        self.applied: list[dict[str, Any]] = []
        self.streams: list[socket.socket] = []
        self.lost: list[int] = []
        self._port = port
        self._refused = refused
        self._services = services

    def apply(self, body: dict[str, Any]) -> dict[str, Any]:
        if self._refused and body["kind"] == "Pod":
            raise NotReady(self._refused)
        self.applied.append(body)
        return body

    def get(self, api: str, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        if kind == "Service":
            is_known = f"{name}.{namespace}" in self._services
            return {"spec": {"ports": [{"port": 9080}]}} if is_known else None
        metadata = {"name": name, "namespace": namespace}
        return {
            "metadata": metadata,
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }

    def open_port(self, pod: str, namespace: str, port: int) -> socket.socket:
        """Return a connection; from those whose numbers are in `lost` no answer gets here."""
        stream = socket.create_connection(("127.0.0.1", self._port))
        if len(self.streams) in self.lost:
            stream = LostAnswer(fileno=stream.detach())
        self.streams.append(stream)
        return stream


@pytest.fixture
def port() -> Iterator[int]:
    with script.make_server(0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()


def start_probe(cluster: Cluster, **options: Any) -> Probe:
    return Probe.start(cluster, "ours", LABELS, **options)  # type: ignore[arg-type]


def require_responses(outcomes: list[HttpResponse | NoResponse]) -> list[HttpResponse]:
    """Return the outcomes of requests that all got a response."""
    responses = [outcome for outcome in outcomes if isinstance(outcome, HttpResponse)]
    assert len(responses) == len(outcomes), outcomes
    return responses


def send(
    probe: Probe, address: Address, requests: list[HttpRequest], workers: int = 1
) -> list[HttpResponse]:
    """Return the responses to requests that a probe sends over kept connections."""
    return require_responses(probe.send(address, requests, workers, True))


def test_its_pod_is_restricted_labelled_and_not_injected(port: int) -> None:
    cluster = Cluster(port)
    start_probe(
        cluster, image=lambda reference: reference.replace("docker.io", "mirror.example")
    ).close()
    config, pod = cluster.applied
    assert "def send_batch(" in config["data"]["probe.py"]
    assert (
        pod["metadata"]["labels"].items()
        >= {
            **LABELS,
            "sidecar.istio.io/inject": "false",
        }.items()
    )
    spec, (container,) = pod["spec"], pod["spec"]["containers"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["image"] == PROBE_IMAGE.replace("docker.io", "mirror.example")


def test_a_batch_goes_through_one_connection(port: int) -> None:
    cluster = Cluster(port)
    probe = start_probe(cluster, sidecar=True)
    address = Address("127.0.0.1", port)
    for _ in range(2):
        answers = send(probe, address, [HttpRequest("/"), HttpRequest("/x")], 2)
        assert [answer.status for answer in answers] == [200, 200]
        assert answers[0].headers["content-type"] == "application/json"
    assert len(cluster.streams) == 1
    probe.close()


def test_a_connection_that_ended_is_made_again(port: int) -> None:
    cluster = Cluster(port)
    probe = start_probe(cluster)
    cluster.streams[0].shutdown(socket.SHUT_RDWR)
    assert send(probe, Address("127.0.0.1", port), [HttpRequest("/")])[0].status == 200
    assert len(cluster.streams) == 2
    probe.close()


def test_a_batch_whose_answers_are_lost_is_not_sent_again(port: int) -> None:
    with echo_pod.make_server("cart.v1", 0, "127.0.0.1") as echo:
        threading.Thread(target=echo.serve_forever, args=(0.01,), daemon=True).start()
        cluster = Cluster(port)
        probe = start_probe(cluster)
        cluster.lost = [len(cluster.streams)]
        probe.close()  # the next batch has a connection of its own
        requests = [
            HttpRequest("/", ((echo_pod.MIRROR_HEADER, f"a-{number}"),)) for number in range(3)
        ]
        address = Address("127.0.0.1", int(echo.server_address[1]))
        assert [answer.status for answer in send(probe, address, requests)] == [
            200,
            200,
            200,
        ]
        assert len(cluster.streams) == 3, "the answers were not lost"
        assert [answer.status for answer in send(probe, address, requests[:1])] == [200]
        (counts,) = send(probe, address, [HttpRequest(echo_pod.COPIES_PATH)])
        assert json.loads(counts.body) == {"a-0": 2, "a-1": 1, "a-2": 1}
        probe.close()
        echo.shutdown()


def test_one_that_never_listens_is_named(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "APP_START", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = free.getsockname()[1]
    with pytest.raises(NotReady, match=r"ours/meshproof-probe-plain: the probe takes no batches"):
        start_probe(Cluster(nobody))


def test_a_sidecar_that_is_not_taken_is_explained(port: int) -> None:
    with pytest.raises(NotReady, match=r"(?s)istio-init needs NET_ADMIN.*CNI plugin.*violates"):
        start_probe(Cluster(port, REFUSED), sidecar=True)
    other_refusal = REFUSED.replace("istio-init", "probe")
    with pytest.raises(NotReady, match="does not take the pod"):
        start_probe(Cluster(port, other_refusal), sidecar=True)


def test_plaintext_is_answered_refused_or_hung_up(port: int) -> None:
    probes = Probes(Cluster(port), RunScope("1"), {})  # type: ignore[arg-type]

    def pod(number: int) -> dict[str, Any]:
        containers = [
            {"name": "istio-proxy", "ports": [{"containerPort": 15090}]},
            {"name": "app", "ports": [{"containerPort": number}]},
        ]
        metadata = {"name": "cart-1", "namespace": "ours"}
        return {
            "metadata": metadata,
            "status": {"podIP": "127.0.0.1"},
            "spec": {"containers": containers},
        }

    assert probes.probe_plaintext(pod(port)) == 200
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hangs_up = threading.Thread(target=lambda: silent.accept()[0].close(), daemon=True)
        hangs_up.start()
        assert probes.probe_plaintext(pod(silent.getsockname()[1])) is None
        nobody = silent.getsockname()[1]
    with pytest.raises(NotReady, match=r"ours/cart-1: http://127.*: refused"):
        probes.probe_plaintext(pod(nobody))
    silent_pod = pod(port)
    del silent_pod["spec"]["containers"][1]["ports"]
    with pytest.raises(NotReady, match="declare no port"):
        probes.probe_plaintext(silent_pod)
    probes.close()


@pytest.mark.parametrize(
    ("verify_mode", "status"), [(ssl.CERT_REQUIRED, None), (ssl.CERT_NONE, 200)]
)
def test_tls_without_a_certificate_is_answered_or_refused(
    port: int, tmp_path: Path, verify_mode: ssl.VerifyMode, status: int | None
) -> None:
    identity = Authority(tmp_path / "certificates").issue("ours", "cart")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.chain, identity.key)
    context.load_verify_locations(identity.ca)
    context.verify_mode = verify_mode
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), EmptyAnswers)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    probes = Probes(Cluster(port), RunScope("1"), {})  # type: ignore[arg-type]
    containers = [{"name": "app", "ports": [{"containerPort": server.server_address[1]}]}]
    pod = {
        "metadata": {"name": "cart-1", "namespace": "ours"},
        "status": {"podIP": "127.0.0.1"},
        "spec": {"containers": containers},
    }
    assert probes.probe_tls(pod) == status
    probes.close()
    server.shutdown()
    server.server_close()


def test_a_client_is_beside_the_service_that_it_asks(port: int) -> None:
    services = ("reviews.meshproof-1", "orders.meshproof-1-shop")
    cluster = Cluster(port, services=services)
    probes = Probes(cluster, RunScope("1"), {})  # type: ignore[arg-type]
    namespaces = ["default", "shop"]
    address, client = probes.find_inside_client("reviews", namespaces)
    assert address == Address("reviews.meshproof-1.svc.cluster.local", 9080)
    assert client.describe_command("curl -i http://x/").startswith(
        "kubectl -n meshproof-1 exec meshproof-probe-inside -c probe -- python3 /meshproof/probe.py"
    )
    address, other_client = probes.find_inside_client("orders.shop", namespaces)
    assert address.host == "orders.meshproof-1-shop.svc.cluster.local"
    assert other_client is not client
    assert probes.find_inside_client("reviews", namespaces)[1] is client
    with pytest.raises(NotReady, match="there is no Service cart in meshproof-1"):
        probes.find_inside_client("cart", namespaces)
    with pytest.raises(NotReady, match="the run has no namespace shp: default, shop"):
        probes.find_inside_client("orders.shp", namespaces)
    probes.close()
