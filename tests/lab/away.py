"""A way to the API server that is cut off for a while, as in an upgrade of its node."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import yaml

_CHUNK = 1 << 16


class Away:
    """Passes connections on to the API server of a kubeconfig, but for `seconds` after `begins`.

    While it is away open connections are cut and new ones end at once: `refused` counts them.
    """

    def __init__(self, text: str, folder: Path, begins: float = 12, seconds: float = 20) -> None:
        config = yaml.safe_load(text)
        cluster = config["clusters"][0]["cluster"]
        server = urlsplit(cluster["server"])
        assert server.hostname, cluster
        assert server.port, cluster
        self._to = server.hostname, server.port
        self._begins, self._seconds = begins, seconds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._began = 0.0
        self.refused = 0
        cluster["server"] = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        cluster["tls-server-name"] = server.hostname
        self.kubeconfig = folder / "kubeconfig-away"
        self.kubeconfig.write_text(yaml.safe_dump(config))

    def __enter__(self) -> Away:
        self._began = time.monotonic()
        threading.Thread(target=self._accept, daemon=True).start()
        threading.Thread(target=self._cut, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.close()

    @property
    def away(self) -> bool:
        """Say whether nothing is passed on now."""
        return self._begins <= time.monotonic() - self._began < self._begins + self._seconds

    def _cut(self) -> None:
        time.sleep(self._begins)
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self.away:
                self.refused += 1
                near.close()
                continue
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        with near, socket.create_connection(self._to) as server_socket:
            pair = {near, server_socket}
            self._open |= pair
            back = threading.Thread(target=self._pump, args=(server_socket, near), daemon=True)
            back.start()
            self._pump(near, server_socket)
            back.join()
            self._open -= pair

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                sink.sendall(data)
        for connection in (source, sink):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
