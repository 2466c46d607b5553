"""Whether a port of loopback can be had and, where that can be known, who has it."""

from __future__ import annotations

import errno
import os
import shlex
import socket

from meshproof.base.errors import NotReady
from meshproof.mesh.process import processes

HOST = "127.0.0.1"
_SHOWN = 60


def require_free(port: int) -> None:
    """Raise NotReady, with the process that holds it, when nobody else may listen on `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Envoy does
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise NotReady(f"port {port} is taken{_holder(port)}") from None
            raise NotReady(f"port {port} cannot be had: {os.strerror(error.errno or 0)}") from None


def _holder(port: int) -> str:
    """Return ` by NAME (pid N: COMMAND)`, or nothing where this user may not know."""
    import psutil

    try:
        found = psutil.net_connections("tcp")
        pid = next(one.pid for one in found if one.laddr and one.laddr.port == port and one.pid)
        holder = psutil.Process(pid)
        name, command = holder.name(), shlex.join(holder.cmdline())[:_SHOWN]
    except (psutil.Error, OSError, StopIteration):
        return ""
    said = f" by {name} (pid {pid}: {command})"
    try:
        ours = processes.MARK in holder.environ()
    except (psutil.Error, OSError):
        ours = False
    return f"{said}, of another mesh; `meshproof mesh status` tells which" if ours else said
