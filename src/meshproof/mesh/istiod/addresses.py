"""Addresses of loopback for the proxies of a run: istiod tells proxies apart by their address."""

from __future__ import annotations

import itertools
import random
import socket
from collections.abc import Iterable

from meshproof.base.errors import NotReady
from meshproof.mesh.istiod.objects import PROXY_PORT

_HIGHEST = 254
#: Ports below the first one are for root alone; what is added to such a port.
_FIRST_UNPRIVILEGED, _OFFSET = 1024, 20000
_HTTP_PORT = 80


class Addresses:
    """Hands out addresses 127.X.Y.N; X and Y are the run's own, so that runs do not meet."""

    def __init__(self) -> None:
        self._block = f"127.{random.randint(1, _HIGHEST)}.{random.randint(0, _HIGHEST)}"
        self._numbers = itertools.count(1)

    def take(self) -> str:
        """Return an address that nobody else of the run has. Raises NotReady if there is none."""
        number = next(self._numbers)
        if number > _HIGHEST:
            raise NotReady(f"the istiod mesh has {_HIGHEST} proxies at most")
        return f"{self._block}.{number}"


def move_privileged(port: int) -> int:
    """Return the port to listen on in place of a port that only root may have."""
    return port if port >= _FIRST_UNPRIVILEGED else port + _OFFSET


def choose_call_ports(address: str, ports: Iterable[int]) -> dict[int, int]:
    """Return, for each port of a service, the port of `address` where a sidecar takes its calls.

    That is the same port; PROXY_PORT stands for a port 80 that this process may not have. Raises
    NotReady for any other port that it may not have.
    """
    return {port: _choose_call_port(address, port) for port in ports}


def _choose_call_port(address: str, port: int) -> int:
    """Return where calls to one port are taken; see `choose_call_ports`."""
    try:
        _probe(address, port)
    except OSError as error:
        if port == _HTTP_PORT:
            return PROXY_PORT
        raise NotReady(
            f"the istiod mesh cannot listen on port {port} of {address}, as calls to that port "
            f"of services need: {error.strerror}"
        ) from None
    return port


def is_unprivileged(address: str) -> bool:
    """Say whether this process may not listen on port 80 of an address."""
    try:
        _probe(address, _HTTP_PORT)
    except OSError:
        return True
    return False


def _probe(address: str, port: int) -> None:
    """Listen on a port for a moment. Raises OSError if this process may not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Envoy does
        probe.bind((address, port))
