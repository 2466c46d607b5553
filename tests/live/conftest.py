"""The cluster that every context leads to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_objects import SHOP, Cluster

from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.protocol import ClusterOptions


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The cluster that every context leads to; `reached` has the options."""
    one = Cluster(*SHOP)

    @contextlib.contextmanager
    def connected(options: ClusterOptions, folder: Path) -> Iterator[Cluster]:
        one.__dict__["reached"] = options
        yield one

    monkeypatch.setattr(Kube, "connected", connected)
    return one
