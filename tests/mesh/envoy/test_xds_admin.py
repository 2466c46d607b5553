"""The admin interface of an Envoy is a socket in the run's folder; TCP serves statistics alone."""

from __future__ import annotations

import http.client
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from meshproof.mesh.envoy import admin
from tests.mesh.envoy.echoes import Echoes, app, echo_mesh


@pytest.fixture(scope="module")
def echoes() -> Iterator[Echoes]:
    with echo_mesh(app("client", "v1")) as echoes:
        yield echoes


def test_no_port_of_an_envoy_is_its_admin_interface(echoes: Echoes) -> None:
    envoys = list(echoes.mesh._list_proxies())
    assert envoys
    for envoy in envoys:
        mode = envoy._socket.stat().st_mode
        assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o600)
        assert stat.S_IMODE(envoy._socket.parent.stat().st_mode) == 0o700
        connections = psutil.Process(envoy.process.pid).net_connections("tcp")
        listening = {one.laddr.port for one in connections if one.status == psutil.CONN_LISTEN}
        assert listening == set(envoy.read_listener_ports().values())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/stats/prometheus", 200),
        ("GET", "/config_dump", 404),
        ("GET", "/stats", 404),
        ("POST", "/quitquitquit", 404),
        ("POST", "/stats/prometheus/../../quitquitquit", 404),
    ],
)
def test_the_port_for_prometheus_serves_its_statistics_alone(
    echoes: Echoes, method: str, path: str, status: int
) -> None:
    port = echoes.mesh.list_stats_ports()["client-v1-0"]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path)
    assert connection.getresponse().status == status
    connection.close()


def test_a_path_that_is_too_long_for_a_socket_is_asked_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    monkeypatch.chdir(folder)
    name = admin.name_socket("reviews-v1-0")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")

        thread = threading.Thread(target=answer)
        thread.start()
        assert admin.ask(folder / name, "/stats") == "body"
        thread.join()
