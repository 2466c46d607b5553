"""What is told of a pod that does not come up has no secret of its log in it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from meshproof.errors import NotReady
from meshproof.mesh.cluster import workloads
from meshproof.mesh.cluster.client import Kube

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

    def log(self, _pod: str, _namespace: str, _container: str, lines: int = 200) -> str:
        return "\n".join(LOG.splitlines()[-lines:])


def test_the_end_of_the_log_is_told_without_secrets() -> None:
    with pytest.raises(NotReady) as found:
        workloads.wait_running(cast("Kube", Cluster()), "shop", "shop-0")
    said = str(found.value)
    assert PLANTED not in said
    assert "CrashLoopBackOff: back-off\nlast lines of app:\n" in said
    assert said.endswith("password=[redacted]\nno database")
