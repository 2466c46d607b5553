"""Addons that are up, but hold nothing of ours: seen red. The gate's own run has the green ones."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests

from meshproof.base import timeouts
from meshproof.base.waiting import wait_for
from tests.lab.test_lab_faults import run_with


@pytest.fixture
def idle_prometheus(tmp_path: Path) -> Iterator[str]:
    """A real Prometheus that scrapes nobody."""
    program = shutil.which("prometheus")
    assert program, "apt-get install prometheus"
    config = tmp_path / "prometheus.yml"
    config.write_text("{}")
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [program, f"--config.file={config}", f"--web.listen-address={address}"]
    with subprocess.Popen(
        [*command, f"--storage.tsdb.path={tmp_path / 'data'}"], stderr=subprocess.DEVNULL
    ) as process:

        def look() -> bool | None:
            try:
                return requests.get(f"http://{address}/-/ready", timeout=1).ok or None
            except requests.ConnectionError:
                return None

        wait_for(look, timeouts.ADDON_START, lambda: "prometheus does not start", 0.2)
        yield f"http://{address}"
        process.terminate()


def test_addons_without_our_traffic(tmp_path: Path, idle_prometheus: str) -> None:
    ended = run_with(
        "untold addons",
        "addon and (prometheus or zipkin or graph)",
        tmp_path,
        *("--mesh-addon", f"prometheus={idle_prometheus}"),
    )
    assert ended.code == 1, ended.output
    assert ended.outcomes("") == {"addon prometheus": "failed", "addon zipkin": "failed"}
    assert "0 of 6 sidecars" in ended.message("addon prometheus")
    assert "0 traces have our tag" in ended.message("addon zipkin")
    (graph,) = (each for each in ended.run.results if each.promise == "addon service-graph")
    assert "samples/addons/kiali.yaml" in graph.how_to_get
