from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.protocol import ClusterOptions
from tests.command import EndedCommand, run_command
from tests.user_rules.live_objects import SHOP, Cluster


@pytest.fixture
def meshproof(tmp_path: Path) -> Callable[..., EndedCommand]:
    """Run `meshproof` in an empty folder; nothing of the run may be left."""
    return partial(run_command, folder=tmp_path)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The cluster that every context leads to; `reached` has the options."""
    cluster = Cluster(*SHOP)

    @contextlib.contextmanager
    def connected(options: ClusterOptions, folder: Path) -> Iterator[Cluster]:
        cluster.__dict__["reached"] = options
        yield cluster

    monkeypatch.setattr(Kube, "connected", connected)
    return cluster
