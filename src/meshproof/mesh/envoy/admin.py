"""Envoy's admin interface on a Unix socket in the run's folder: no other user reaches it.

Prometheus scrapes TCP alone, so one listener on loopback passes the statistics on and nothing else,
as Istio's own proxies do (port 15090). Source: Envoy docs, "Administration interface".
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from meshproof.base import timeouts

#: The listener for Prometheus, the path that it serves, and the cluster behind it.
STATS_LISTENER = "prometheus"
STATS_PATH = "/stats/prometheus"
_CLUSTER = "admin"
_API = "type.googleapis.com/envoy"
#: The longest path that every system takes for a socket (sockaddr_un: 104 bytes on macOS).
_MAX_PATH_BYTES = 103


def name_socket(name: str) -> str:
    """Return the file of an Envoy's socket: short, since a socket's whole path must be."""
    return f"{hashlib.sha256(name.encode()).hexdigest()[:8]}.sock"


def make_admin(socket_name: str) -> dict[str, Any]:
    """Return the admin part of a bootstrap: a socket in the folder in which Envoy runs."""
    return {"address": {"pipe": {"path": socket_name, "mode": 0o600}}}


def make_stats_resources(socket_name: str) -> dict[str, Any]:
    """Return the static resources that pass the statistics on to Prometheus."""
    endpoint = {"endpoint": {"address": {"pipe": {"path": socket_name}}}}
    route = {"match": {"path": STATS_PATH}, "route": {"cluster": _CLUSTER}}
    manager = {
        "@type": (
            f"{_API}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
        ),
        "stat_prefix": STATS_LISTENER,
        "route_config": {
            "virtual_hosts": [{"name": STATS_LISTENER, "domains": ["*"], "routes": [route]}]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_API}.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    listener = {
        "name": STATS_LISTENER,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager,
                    }
                ]
            }
        ],
    }
    cluster = {
        "name": _CLUSTER,
        "connect_timeout": "10s",
        "load_assignment": {
            "cluster_name": _CLUSTER,
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }
    return {"listeners": [listener], "clusters": [cluster]}


def ask(path: Path, request_path: str) -> str:
    """Return the body of GET `request_path` at the socket `path`.

    Raises OSError or HTTPException if that fails.
    """
    connection = http.client.HTTPConnection("localhost", timeout=timeouts.OWN_ADMIN)
    with contextlib.closing(connection), socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(timeouts.OWN_ADMIN)
        with _short_path(path) as short_path:
            channel.connect(short_path)
        connection.sock = channel
        connection.request("GET", request_path)
        return connection.getresponse().read().decode()


@contextlib.contextmanager
def _short_path(path: Path) -> Iterator[str]:
    """Return a path of the same socket that is short enough, where there is one."""
    if len(os.fsencode(path)) <= _MAX_PATH_BYTES or not Path("/proc/self/fd").is_dir():
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
