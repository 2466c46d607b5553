"""What is told of a pod that does not come up has no secret of its log in it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.run import workloads

PLANTED = "hunter2-Zq9"
LOG = (
    "started\n-----BEGIN PRIVATE KEY-----\n"
    + f"{PLANTED}\n" * 9
    + f"-----END PRIVATE KEY-----\npassword={PLANTED}\nno database\n"
)


class Cluster:
    """Stands in for the client: one pod, which crashes."""

    def get(self, *_asked: str) -> dict[str, Any]:
        crashing = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
        app = {"name": "app", "ready": False, "restartCount": 2, "state": crashing}
        return {
            "metadata": {"name": "shop-0", "namespace": "shop"},
            "status": {"containerStatuses": [app]},
        }

    def read_log(self, _pod: str, _namespace: str, _container: str, lines: int = 200) -> str:
        return "\n".join(LOG.splitlines()[-lines:])


def test_the_end_of_the_log_is_told_without_secrets() -> None:
    with pytest.raises(NotReady) as found:
        workloads.wait_running(cast("Kube", Cluster()), "shop", "shop-0")
    said = str(found.value)
    assert PLANTED not in said
    assert "CrashLoopBackOff: back-off\nlast lines of app:\n" in said
    assert said.endswith("password=[redacted]\nno database")


QUOTA = 'pods "shop-1" is forbidden: exceeded quota: strict, requested: pods=1, used: pods=2'
SIDECAR = 'pods "shop-1" is forbidden: violates PodSecurity "baseline": istio-init NET_ADMIN'
WEBHOOK = 'Internal error occurred: failed calling webhook "injector.istio.io": refused'


class Deployments:
    """Stands in for the client: one Deployment, whose pod is refused with each of some words."""

    def __init__(self, *said: str) -> None:
        self._messages = list(said)

    def list(self, _version: str, kind: str, *_asked: str) -> list[dict[str, Any]]:
        if kind != "Deployment":
            return []
        said = self._messages.pop(0) if len(self._messages) > 1 else self._messages[0]
        status: dict[str, Any] = {"conditions": [{"type": "ReplicaFailure", "message": said}]}
        if not said:
            ready = ("updatedReplicas", "availableReplicas", "replicas", "observedGeneration")
            status = dict.fromkeys(ready, 1)
        return [{"metadata": {"name": "shop", "generation": 1}, "spec": {}, "status": status}]


def waited(monkeypatch: pytest.MonkeyPatch, *said: str) -> None:
    monkeypatch.setattr(timeouts, "REFUSED", 0.5)
    monkeypatch.setattr(timeouts, "APPS_START", 2.0)
    workloads.wait_available(cast("Kube", Deployments(*said)), ["ns"], "a=b")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (QUOTA, f"ns/shop: {QUOTA}"),
        (SIDECAR, "namespace ns does not take a sidecar: .*Istio's CNI plugin"),
        (WEBHOOK, "not available after 2 s: ns/shop"),
    ],
    ids=["quota", "sidecar", "webhook"],
)
def test_pods_that_admission_goes_on_refusing(
    words: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotReady, match=told):
        waited(monkeypatch, words)


def test_pods_that_are_taken_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    waited(monkeypatch, QUOTA, QUOTA, "")
    waited(monkeypatch, QUOTA, WEBHOOK, QUOTA, "")
