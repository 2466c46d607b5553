"""How many visits a second the client gets out of the local mesh, and what it costs the client."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator

from meshproof import manifests
from meshproof.mesh.http import HttpRequest
from meshproof.mesh.protocol import Address, Options, open_mesh
from meshproof.traffic.sender import Sampling
from meshproof.traffic.visits import Visits
from tests.bench.measuring import Row, empty_folder

VISITS = 1000
ROUNDS = 5
WAYS = {
    "kept-alive": Sampling(),
    "one at a time": Sampling(workers=1),
    "fresh connections": Sampling(keep_alive=False),
}


def send(address: Address, path: str, sampling: Sampling) -> tuple[float, float]:
    """Return visits per second, and the client's own microseconds of CPU per visit."""
    visits = Visits(address, [HttpRequest(path)], "bench", sampling)
    cpu, began = time.process_time(), time.perf_counter()
    visits.take(VISITS)
    took = time.perf_counter() - began
    return VISITS / took, (time.process_time() - cpu) / VISITS * 1e6


def rows(options: argparse.Namespace) -> Iterator[Row]:
    with empty_folder(), open_mesh("local", Options()) as mesh:
        mesh.deploy(manifests.apps())
        address = mesh.address("ingress")
        for path in ("/productpage", "/orders"):
            send(address, path, Sampling())
            for name, sampling in WAYS.items():
                found = [send(address, path, sampling) for _ in range(ROUNDS)]
                speed = statistics.median(one for one, _ in found)
                cost = statistics.median(one for _, one in found)
                yield Row(f"visits to {path}, {name}", f"{speed:.0f} /s")
                yield Row("  the client's share of it, CPU per visit", f"{cost:.0f} us")
