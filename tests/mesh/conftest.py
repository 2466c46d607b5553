from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from meshproof import manifests
from meshproof.mesh.local.mesh import LocalMesh
from meshproof.mesh.protocol import Options
from tests.robust.real_runs import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An empty folder with a folder for temporary files of its own; ends what a test leaves."""
    place = Place(tmp_path)
    yield place
    for process in place.processes():
        process.kill()


@pytest.fixture(scope="module")
def bookinfo() -> Iterator[LocalMesh]:
    """A local mesh in this process, with all demo apps."""
    with LocalMesh.opened(Options()) as mesh:
        mesh.deploy(manifests.apps())
        yield mesh
