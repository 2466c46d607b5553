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

    def get(self, *_arguments: str) -> dict[str, Any]:
        crashing = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
        app = {"name": "app", "ready": False, "restartCount": 2, "state": crashing}
        return {
            "metadata": {"name": "shop-0", "namespace": "shop"},
            "status": {"containerStatuses": [app]},
        }

    def read_log(self, _pod: str, _namespace: str, _container: str, lines: int = 200) -> str:
        return "\n".join(LOG.splitlines()[-lines:])


def test_the_end_of_the_log_is_told_without_secrets() -> None:
    with pytest.raises(NotReady) as excinfo:
        workloads.wait_running(cast("Kube", Cluster()), "shop", "shop-0")
    message = str(excinfo.value)
    assert PLANTED not in message
    assert "CrashLoopBackOff: back-off\nlast lines of app:\n" in message
    assert message.endswith("password=[redacted]\nno database")


QUOTA = 'pods "shop-1" is forbidden: exceeded quota: strict, requested: pods=1, used: pods=2'
SIDECAR = 'pods "shop-1" is forbidden: violates PodSecurity "baseline": istio-init NET_ADMIN'
WEBHOOK = 'Internal error occurred: failed calling webhook "injector.istio.io": refused'


class Deployments:
    """Stands in for the client: one Deployment, whose pod is refused with each of some words."""

    def __init__(self, *messages: str) -> None:
        self._messages = list(messages)

    def list(self, _version: str, kind: str, *_arguments: str) -> list[dict[str, Any]]:
        if kind != "Deployment":
            return []
        message = self._messages.pop(0) if len(self._messages) > 1 else self._messages[0]
        status: dict[str, Any] = {"conditions": [{"type": "ReplicaFailure", "message": message}]}
        if not message:
            ready = ("updatedReplicas", "availableReplicas", "replicas", "observedGeneration")
            status = dict.fromkeys(ready, 1)
        return [{"metadata": {"name": "shop", "generation": 1}, "spec": {}, "status": status}]


def wait_for_pods(monkeypatch: pytest.MonkeyPatch, *messages: str) -> None:
    monkeypatch.setattr(timeouts, "REFUSED", 0.5)
    monkeypatch.setattr(timeouts, "APPS_START", 2.0)
    workloads.wait_available(cast("Kube", Deployments(*messages)), ["ns"], "a=b")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (QUOTA, f"ns/shop: {QUOTA}"),
        (SIDECAR, "namespace ns does not take a sidecar: .*Istio's CNI plugin"),
        (WEBHOOK, "not available after 2 s: ns/shop"),
    ],
    ids=["quota", "sidecar", "webhook"],
)
def test_pods_that_admission_goes_on_refusing(
    message: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotReady, match=expected):
        wait_for_pods(monkeypatch, message)


def test_pods_that_are_taken_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for_pods(monkeypatch, QUOTA, QUOTA, "")
    wait_for_pods(monkeypatch, QUOTA, WEBHOOK, QUOTA, "")
