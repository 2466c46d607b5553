"""HTTP to a port inside a pod through the API's port-forward, which bypasses the sidecar."""

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
#: How often a request is sent that gets no response.
_ATTEMPTS = 3


def get_from_pod(kube: Kube, pod: str, namespace: str, port: int, path: str) -> str:
    """Return the body of `GET path` at a port inside a pod. Raises NotReady unless it is 200."""
    channel = Channel(kube, pod, namespace, port)
    try:
        return channel.ask(path)
    finally:
        channel.close()


class Channel:
    """HTTP to a port inside a pod over one connection, opened on demand and kept open.

    For one thread at a time.
    """

    def __init__(self, kube: Kube, pod: str, namespace: str, port: int) -> None:
        self._kube = kube
        self._target = pod, namespace, port
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, path: str, body: str | None = None, seconds: float = timeouts.ADMIN) -> str:
        """Return the response body of a GET, or of a POST of `body`.

        A request that gets no response is repeated. Raises NotReady when none of the tries gets
        one, and for any status but 200.
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
        """Send one request; return the status and the body."""
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
    """A local port whose connections end at a port inside a pod; closed with the context."""

    def __init__(self, kube: Kube, pod: str, namespace: str, port: int) -> None:
        self._kube = kube
        self._target = pod, namespace, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: set[Any] = set()
        self._closed = False
        threading.Thread(target=self._accept, name="port-forward", daemon=True).start()

    @property
    def address(self) -> Address:
        """The local address that accepts connections."""
        host, port = self._listener.getsockname()[:2]
        return Address(host, port)

    def __enter__(self) -> Forwarder:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End every connection and stop listening."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.close()

    def _accept(self) -> None:
        """Accept connections, each served by a thread of its own."""
        while not self._closed:
            try:
                client_socket, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(
                target=self._serve_connection, args=(client_socket,), daemon=True
            ).start()

    def _serve_connection(self, client_socket: socket.socket) -> None:
        """Copy bytes between a client and the pod until both have ended."""
        try:
            pod_socket = self._kube.open_port(*self._target)
        except NotReady:
            client_socket.close()  # the client sees a closed connection
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
        """Copy bytes in one direction until the source ends."""
        with contextlib.suppress(OSError, ValueError):
            while chunk := source.recv(_CHUNK):
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_WR)
