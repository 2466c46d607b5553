from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from meshproof import manifests
from meshproof.mesh.local.mesh import LocalMesh
from meshproof.mesh.protocol import Options
from tests.robust.real_runs import CommandRunner


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[CommandRunner]:
    """Runs commands in an empty folder; kills the processes that a test leaves."""
    runner = CommandRunner(tmp_path)
    yield runner
    for process in runner.processes():
        process.kill()


@pytest.fixture(scope="module")
def bookinfo() -> Iterator[LocalMesh]:
    """A local mesh in this process, with all demo apps."""
    with LocalMesh.opened(Options()) as mesh:
        mesh.deploy(manifests.apps())
        yield mesh
