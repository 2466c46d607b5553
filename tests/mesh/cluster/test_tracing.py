"""Telemetry is served once no sidecar serves an older connection, which sends spans as before."""

from __future__ import annotations

from threading import Barrier
from typing import Any, cast

import pytest

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.proxies.proxies import Proxy
from meshproof.mesh.cluster.run import tracing
from meshproof.mesh.envoy.listeners import RUN_TAG

SIDECAR = Proxy("reviews-v1", "shop")
GAUGES = (
    "listener_manager.total_filter_chains_draining: {}\n"
    "listener_manager.total_listeners_draining: 0\n"
)


class Sidecar:
    """Serves the new Telemetry at once, and drains its older connections over some looks."""

    def __init__(self, looks_until_drained: int) -> None:
        self.draining = looks_until_drained

    def answer(self, _kube: object, _pod: str, _namespace: str, _port: int, path: str) -> str:
        if path.startswith("/config_dump"):
            return f'{{"tag": "{RUN_TAG}"}}'
        self.draining = max(self.draining - 1, 0)
        return GAUGES.format(self.draining * 16)


class AppliedObjects:
    """The part of `Kube` that takes a Telemetry."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def apply(self, body: dict[str, Any]) -> None:
        self.kinds.append(body["kind"])


def send_spans(monkeypatch: pytest.MonkeyPatch, sidecar: Sidecar) -> AppliedObjects:
    monkeypatch.setattr(tracing, "get_from_pod", sidecar.answer)
    monkeypatch.setattr(timeouts, "POLL_SLOW", 0.001)
    applied = AppliedObjects()
    tracing.send_spans(cast(Kube, applied), tracing.Plan("shop", {}), [SIDECAR])
    return applied


def test_older_connections_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sidecar = Sidecar(looks_until_drained=3)
    assert send_spans(monkeypatch, sidecar).kinds == ["Telemetry"]
    assert sidecar.draining == 0


def test_a_sidecar_that_never_drains_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "DRAINED", 0.01)
    with pytest.raises(NotReady, match=r"older connections are still served by reviews-v1\.shop"):
        send_spans(monkeypatch, Sidecar(looks_until_drained=10**9))


def test_sidecars_are_asked_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    everyone = Barrier(3)

    def answer(*_: object) -> str:
        everyone.wait(5)
        return RUN_TAG

    monkeypatch.setattr(tracing, "get_from_pod", answer)
    monkeypatch.setattr(tracing, "is_draining", lambda _: False)
    tracing.send_spans(cast(Kube, AppliedObjects()), tracing.Plan("shop", {}), [SIDECAR] * 3)


@pytest.mark.parametrize(
    ("gauges", "draining"),
    [("", False), (GAUGES.format(0), False), (GAUGES.format(16), True)],
)
def test_gauges_say_whether_connections_are_left(gauges: str, draining: bool) -> None:
    assert tracing.is_draining(gauges) is draining
