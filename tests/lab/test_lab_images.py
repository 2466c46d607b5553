"""`meshproof images list` beside what the pods of a real run pulled."""

from __future__ import annotations

import json
import subprocess
import sys

from meshproof.mesh.cluster.api.images import PROBE_IMAGE
from meshproof.mesh.cluster.mesh import ClusterMesh
from tests.lab.commands import kubectl


def test_every_image_of_a_run_is_in_the_list(shop: ClusterMesh) -> None:
    command = [sys.executable, "-m", "meshproof", "images", "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    label = next(f"{key}={value}" for key, value in shop.labels.items() if key.endswith("/run"))
    pods = json.loads(kubectl("get", "pods", "-A", "-l", label, "-o", "json"))["items"]
    assert len(pods) >= 3
    of_istio = ("istio-proxy", "istio-init", "istio-validation")
    used = {
        container["image"]
        for pod in pods
        for container in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]
        if container["name"] not in of_istio
    }
    assert used
    assert used <= set(done.stdout.splitlines())
    assert PROBE_IMAGE in done.stdout.splitlines()
