"""How many pages a second our client gets, over what wrk gets of the same mesh, in turn."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from functools import partial

from meshproof import manifests
from meshproof.mesh.http import HttpRequest
from meshproof.mesh.protocol import Address, Options, open_mesh
from meshproof.traffic.sender import Sampling
from meshproof.traffic.visits import Visits
from tests.bench.measuring import Row, empty_folder, in_turn, median, ratio

ROUNDS = 5
SECONDS = 3
WORKERS = 4


def ask_wrk(address: Address, path: str) -> float:
    """Return the pages a second of wrk with one thread and WORKERS connections."""
    options = ["-t1", f"-c{WORKERS}", f"-d{SECONDS}s", "-H", f"Host: {address.authority}"]
    command = ["wrk", *options, address.url + path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1])  # type: ignore[index]


def ask_ours(address: Address, path: str) -> float:
    """Return the pages a second of a stream of visits with WORKERS workers."""
    stream = Visits(address, [HttpRequest(path)], "bench", Sampling(workers=WORKERS)).stream()
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        next(stream)
        count += 1
    took = time.perf_counter() - began
    stream.close()
    return count / took


def rows(options: argparse.Namespace) -> Iterator[Row]:
    if shutil.which("wrk") is None:
        yield Row("pages a second over wrk", "no wrk", "apt install wrk")
        return
    with empty_folder(), open_mesh("local", Options()) as mesh:
        mesh.deploy(manifests.apps())
        address = mesh.address("ingress")
        for path in ("/productpage", "/orders"):
            wrk, ours = in_turn(
                [partial(ask_wrk, address, path), partial(ask_ours, address, path)], ROUNDS
            )
            yield Row(f"pages of {path}, wrk", median(wrk, "/s"))
            yield Row("  over wrk, our client", f"{ratio(ours, wrk):.2f}", ">= 0.9")
