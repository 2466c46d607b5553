"""How long it takes until every app of the local mesh answers."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

from meshproof import manifests
from meshproof.mesh.protocol import Options, open_mesh
from tests.bench.measuring import Row, empty_folder, in_turn, median, python, timed

ROUNDS = 7


def deployed() -> float:
    """Return the seconds from nothing to a mesh whose apps answer, in a process that is up."""
    began = time.perf_counter()
    with open_mesh("local", Options()) as mesh:
        mesh.deploy(manifests.apps())
        return time.perf_counter() - began


def command() -> float:
    """Return the seconds of `meshproof mesh up`."""
    took = timed(python("-m", "meshproof", "mesh", "up"))
    timed(python("-m", "meshproof", "mesh", "down"))
    return took


def rows(options: argparse.Namespace) -> Iterator[Row]:
    with empty_folder():
        mesh, up = in_turn([deployed, command], ROUNDS)
    yield Row("mesh with all apps ready", median(mesh), "<= 5 s")
    yield Row("`meshproof mesh up`, the whole command", median(up))
