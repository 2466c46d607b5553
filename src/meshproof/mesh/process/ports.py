"""Check that a port of loopback is free, and name the process that holds it."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shlex
import socket

from meshproof.base.errors import NotReady
from meshproof.mesh.process import processes

HOST = "127.0.0.1"
_MAX_COMMAND_LENGTH = 60
#: The ports that `find_free_ports` looks at (Linux gives 32768 and above to connections).
_LOWEST_PORT, _HIGHEST_PORT = 20000, 32000


def require_free(port: int) -> None:
    """Raise NotReady if `port` is in use; the message names the process that holds it, if known."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Envoy does
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise NotReady(f"port {port} is taken{_describe_holder(port)}") from None
            raise NotReady(f"port {port} cannot be had: {os.strerror(error.errno or 0)}") from None


def find_free_ports(count: int, host: str = HOST) -> list[int]:
    """Return ports of `host` that nobody listens on, from a random one upward.

    They are below those that the kernel gives to outgoing connections, which could take one before
    its server does. Raises NotReady if there are too few.
    """
    found: list[int] = []
    start = random.randrange(_LOWEST_PORT, _HIGHEST_PORT)
    span = _HIGHEST_PORT - _LOWEST_PORT
    for step in range(span):
        port = _LOWEST_PORT + (start - _LOWEST_PORT + step) % span
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((host, port))
            found.append(port)
        if len(found) == count:
            return found
    raise NotReady(f"{host} has fewer than {count} free ports from {_LOWEST_PORT} on")


def _describe_holder(port: int) -> str:
    """Return ` by NAME (pid N: COMMAND)`, or nothing if this user may not see the process."""
    import psutil

    try:
        connections = psutil.net_connections("tcp")
        pid = next(
            connection.pid
            for connection in connections
            if connection.laddr and connection.laddr.port == port and connection.pid
        )
        holder = psutil.Process(pid)
        name, command = holder.name(), shlex.join(holder.cmdline())[:_MAX_COMMAND_LENGTH]
    except (psutil.Error, OSError, StopIteration):
        return ""
    description = f" by {name} (pid {pid}: {command})"
    try:
        is_ours = processes.RUN_VARIABLE in holder.environ()
    except (psutil.Error, OSError):
        is_ours = False
    return (
        f"{description}, of another mesh; `meshproof mesh status` tells which"
        if is_ours
        else description
    )
