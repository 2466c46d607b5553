"""What an answer of the API server means for its user: of a request, of a stream to a pod."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.protocol import ClusterOptions

#: A path that the server refuses -> how often, and in which words, those of Kubernetes' admission.
REFUSED = {
    "/new-quota": (2, 'pods "p" is forbidden: status unknown for quota: strict, resources: pods'),
    "/quota": (
        99,
        'pods "p" is forbidden: exceeded quota: strict, requested: pods=1, used: pods=2',
    ),
}
FORBIDDEN = 'pods "p" is forbidden: User "u" cannot create resource "pods/portforward"'


class Server(http.server.BaseHTTPRequestHandler):
    """An API server that discovers nothing and forbids port-forwards, as Kubernetes words it."""

    requests: ClassVar[list[str]] = []
    credentials: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.requests.append(self.path)
        path = self.path.partition("?")[0]
        if path.endswith("/portforward"):
            self.credentials.append(self.headers["Authorization"])
            self._answer(403, {"kind": "Status", "message": FORBIDDEN, "code": 403})
        elif path in REFUSED and self.requests.count(path) <= REFUSED[path][0]:
            self._answer(403, {"kind": "Status", "message": REFUSED[path][1], "code": 403})
        elif path == "/version":
            self._answer(200, {"gitVersion": "v1.35.4", "major": "1", "minor": "35"})
        else:
            empty = {"kind": "APIGroupList", "groups": [], "versions": [], "resources": []}
            self._answer(200, empty)

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def kube(tmp_path: Path) -> Iterator[Kube]:
    """A client of that server, by a kubeconfig."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    with Kube.connected(ClusterOptions(str(file)), tmp_path) as connected_kube:
        yield connected_kube
    server.shutdown()
    server.server_close()


def test_a_stream_that_is_forbidden_is_named_at_once(kube: Kube) -> None:
    Server.requests.clear()
    with pytest.raises(
        NotReady, match="context x: not allowed to forward port 15000 of p"
    ) as excinfo:
        kube.open_port("p", "shop", 15000)
    assert FORBIDDEN in str(excinfo.value)
    assert "`meshproof rbac` prints the Role" in str(excinfo.value)
    assert len(Server.requests) == 1, "it was asked again and again"


def test_a_quota_that_is_not_counted_yet_is_waited_for(kube: Kube) -> None:
    Server.requests.clear()
    assert kube.read("/new-quota", "application/json")
    assert Server.requests == ["/new-quota"] * 3


def test_a_quota_that_is_exceeded_is_no_missing_right(kube: Kube) -> None:
    Server.requests.clear()
    with pytest.raises(NotReady, match="context x: cannot read /quota: pods") as excinfo:
        kube.read("/quota", "application/json")
    assert "exceeded quota: strict" in str(excinfo.value)
    assert "meshproof rbac" not in str(excinfo.value)
    assert len(Server.requests) == 1


def test_an_interrupt_of_a_stream_is_no_error_of_it(
    kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kubernetes.stream.ws_client.create_websocket", interrupted)
    with pytest.raises(KeyboardInterrupt):
        kube.open_port("p", "shop", 15000)


def test_a_stream_is_asked_for_with_the_credentials(kube: Kube) -> None:
    Server.credentials.clear()
    with pytest.raises(NotReady):
        kube.open_port("p", "shop", 15000)
    assert Server.credentials == ["Bearer t"]
