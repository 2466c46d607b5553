"""Where the programs of a real istiod are; without them the tests that run one are skipped."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

#: The programs that the lab has built (tests/lab).
LAB = Path(os.environ.get("MESH_LAB_HOME") or Path.home() / ".cache" / "mesh-lab") / "bin"


@pytest.fixture
def pilot_discovery(monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of an istiod; kube-apiserver and etcd are found, too."""
    path = os.environ.get("MESHPROOF_ISTIOD") or shutil.which("pilot-discovery", path=LAB)
    if "KUBEBUILDER_ASSETS" not in os.environ and (LAB / "etcd").exists():
        monkeypatch.setenv("KUBEBUILDER_ASSETS", str(LAB))
    has_others = all(
        shutil.which(name, path=os.environ.get("KUBEBUILDER_ASSETS"))
        for name in ("kube-apiserver", "etcd")
    )
    if not path or not has_others:
        pytest.skip("needs an istiod, kube-apiserver and etcd: `tox -e cluster` has those of a lab")
    return path
