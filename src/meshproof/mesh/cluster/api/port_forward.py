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

    def ask(self, path: str, body: str | None = None, seconds: float = timeouts.ADMIN) -> str:
        """Return the body that a GET, or a POST of `body`, is answered with.

        What is lost on the way is asked again. Raises NotReady when it is lost again and again, and
        for any other status than 200.
        """
        pod, namespace, port = self._target
        for attempt in range(_ATTEMPTS):
            try:
                status, text = self._exchange(path, body, seconds)
                break
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if attempt == _ATTEMPTS - 1:
                    message = f"{namespace}/{pod}: port {port} does not answer: {error}"
                    raise NotReady(message) from None
        if status != 200:
            raise NotReady(f"{namespace}/{pod}: port {port}{path} answers {status}: {text[:200]}")
        return text

    def _exchange(self, path: str, body: str | None, seconds: float) -> tuple[int, str]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("localhost", self._target[2])
            self._connection.sock = self._kube.open_port(*self._target)
        self._connection.sock.settimeout(seconds)
        self._connection.request("GET" if body is None else "POST", path, body)
        response = self._connection.getresponse()
        return response.status, response.read().decode(errors="replace")

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
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client_socket, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(
                target=self._serve_connection, args=(client_socket,), daemon=True
            ).start()

    def _serve_connection(self, client_socket: socket.socket) -> None:
        try:
            pod_socket = self._kube.open_port(*self._target)
        except NotReady:
            client_socket.close()  # the client sees a connection that ends without an answer
            return
        self._connections |= {client_socket, pod_socket}
        pump = threading.Thread(
            target=self._copy_bytes, args=(pod_socket, client_socket), daemon=True
        )
        pump.start()
        self._copy_bytes(client_socket, pod_socket)
        pump.join(timeouts.ADMIN)
        for connection in (client_socket, pod_socket):
            connection.close()
            self._connections.discard(connection)

    @staticmethod
    def _copy_bytes(source: Any, sink: Any) -> None:
        with contextlib.suppress(OSError, ValueError):
            while chunk := source.recv(_CHUNK):
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_WR)
