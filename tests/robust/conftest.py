from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.robust.real_runs import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An empty folder with a folder for temporary files of its own; ends what a test leaves."""
    place = Place(tmp_path)
    yield place
    for process in place.processes():
        process.kill()
