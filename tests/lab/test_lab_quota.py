"""The nightly run where every new namespace is given a ResourceQuota, as some clusters do."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kubernetes.utils.quantity import parse_quantity

from meshproof.base import timeouts
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.api.objects import RUN_LABEL
from meshproof.mesh.protocol import ClusterOptions
from tests.lab.commands import list_leftovers, meshproof
from tests.lab.nightly import USERS, users

NAME = "strict"
#: For each namespace of a run. With it no container comes in without requests and limits of both.
ROOM = {
    "pods": "20",
    "requests.cpu": "500m",
    "requests.memory": "3Gi",
    "limits.cpu": "40",
    "limits.memory": "16Gi",
}


class Quotas:
    """Gives a quota to each namespace of a run as it comes; keeps the most that was used of it."""

    def __init__(self, room: Mapping[str, str]) -> None:
        self.given: set[str] = set()
        self.used: dict[str, float] = {}
        self._spec = {"hard": dict(room)}

    def keep(self, kube: Kube, stop: threading.Event) -> None:
        """Look at namespaces and quotas, as a controller would, until it is to stop."""
        while not stop.wait(0.05):
            namespaces = kube.list("v1", "Namespace", labels=RUN_LABEL)
            for name in {namespace["metadata"]["name"] for namespace in namespaces} - self.given:
                metadata = {"name": NAME, "namespace": name}
                body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata}
                kube.apply({**body, "spec": self._spec})
                self.given.add(name)
            for quota in kube.list("v1", "ResourceQuota"):
                for what, amount in quota.get("status", {}).get("used", {}).items():
                    value = float(parse_quantity(amount))
                    self.used[what] = max(value, self.used.get(what, 0))


@contextlib.contextmanager
def quotas(room: Mapping[str, str], folder: Path) -> Iterator[Quotas]:
    quota_keeper, stop = Quotas(room), threading.Event()
    with Kube.connected(ClusterOptions(), folder) as kube, ThreadPoolExecutor() as pool:
        keeping = pool.submit(quota_keeper.keep, kube, stop)
        try:
            yield quota_keeper
        finally:
            stop.set()
    keeping.result()


@pytest.mark.parametrize("words", [(), ("--rules-from", USERS)], ids=["plain", "live rules"])
def test_it_fits_into_a_small_quota(words: tuple[str, ...], tmp_path: Path) -> None:
    with users(), quotas(ROOM, tmp_path) as strict:
        ended = meshproof("smoke", *words, folder=tmp_path)
    assert ended.code == 0, ended.output
    assert strict.given
    assert set(strict.used) == set(ROOM)
    assert all(strict.used.values())
    sys.stdout.write(f"most used in {len(strict.given)} namespaces: {strict.used}\n")


def test_a_quota_that_is_too_small_is_named(tmp_path: Path) -> None:
    with quotas(ROOM | {"pods": "2"}, tmp_path) as strict:
        since = time.monotonic()
        ended = meshproof("smoke", folder=tmp_path)
    assert strict.given
    assert ended.code == 69, ended.output
    assert time.monotonic() - since < timeouts.APPS_START / 2
    assert f"exceeded quota: {NAME}" in ended.output
    assert list_leftovers(ended) == []
