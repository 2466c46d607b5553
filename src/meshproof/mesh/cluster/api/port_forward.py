"""HTTP to a port inside a pod, by the API's port-forward: past what a sidecar captures."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from typing import Any

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.protocol import Address

_CHUNK = 1 << 16
#: So often something is asked that is lost on its way.
_ATTEMPTS = 3


def get_from_pod(kube: Kube, pod: str, namespace: str, port: int, path: str) -> str:
    """Return the body of `GET path` at a port inside a pod. Raises NotReady unless it is 200."""
    channel = Channel(kube, pod, namespace, port)
    try:
        return channel.ask(path)
    finally:
        channel.close()


class Channel:
    """HTTP to a port inside a pod over one connection, made when it is needed and kept.

    For one thread at a time.
    """

    def __init__(self, kube: Kube, pod: str, namespace: str, port: int) -> None:
        self._kube = kube
        self._target = pod, namespace, port
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, path: str, body: str | None = None, patience: float = timeouts.ADMIN) -> str:
        """Return the body that a GET, or a POST of `body`, is answered with.

        What is lost on the way is asked again. Raises NotReady when it is lost again and again, and
        for any other status than 200.
        """
        pod, namespace, port = self._target
        for attempt in range(_ATTEMPTS):
            try:
                answer, text = self._exchange(path, body, patience)
                break
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if attempt == _ATTEMPTS - 1:
                    words = f"{namespace}/{pod}: port {port} does not answer: {error}"
                    raise NotReady(words) from None
        if answer != 200:
            raise NotReady(f"{namespace}/{pod}: port {port}{path} answers {answer}: {text[:200]}")
        return text

    def _exchange(self, path: str, body: str | None, patience: float) -> tuple[int, str]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("localhost", self._target[2])
            self._connection.sock = self._kube.open_port(*self._target)
        self._connection.sock.settimeout(patience)
        self._connection.request("GET" if body is None else "POST", path, body)
        answer = self._connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()
        self._connection = None


class Forwarder:
    """A port of this machine's loopback whose connections end at a port inside a pod.

    Each connection is forwarded on its own. Ends with the context.
    """

    def __init__(self, kube: Kube, pod: str, namespace: str, port: int) -> None:
        self._kube = kube
        self._target = pod, namespace, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: set[Any] = set()
        self._closed = False
        threading.Thread(target=self._accept, name="port-forward", daemon=True).start()

    @property
    def address(self) -> Address:
        """Where it listens."""
        host, port = self._listener.getsockname()[:2]
        return Address(host, port)

    def __enter__(self) -> Forwarder:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End every connection and stop to listen."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        for one in list(self._connections):
            with contextlib.suppress(OSError):
                one.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_connection, args=(near,), daemon=True).start()

    def _serve_connection(self, near: socket.socket) -> None:
        try:
            far = self._kube.open_port(*self._target)
        except NotReady:
            near.close()  # the client sees a connection that ends without an answer
            return
        self._connections |= {near, far}
        pump = threading.Thread(target=self._copy_bytes, args=(far, near), daemon=True)
        pump.start()
        self._copy_bytes(near, far)
        pump.join(timeouts.ADMIN)
        for one in (near, far):
            one.close()
            self._connections.discard(one)

    @staticmethod
    def _copy_bytes(source: Any, sink: Any) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := source.recv(_CHUNK):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
