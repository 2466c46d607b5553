"""A pytest plugin that kills istiod once it has served the rules: `-p ...killed_istiod`."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from meshproof.mesh.istiod.rule_mesh import IstiodRuleMesh


@pytest.fixture(autouse=True, scope="session")
def _killed() -> Iterator[None]:
    serve = IstiodRuleMesh._serve

    def serve_and_kill(mesh: IstiodRuleMesh) -> None:
        serve(mesh)
        istiod = mesh._control_plane._istiod
        os.kill(istiod.pid, signal.SIGKILL)
        assert istiod.does_end_within(10)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(IstiodRuleMesh, "_serve", serve_and_kill)
        yield
