"""The namespaces of a run: made, labelled, deleted by their label only, and waited for."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from meshproof import timeouts
from meshproof.errors import NotReady
from meshproof.mesh.cluster.client import Kube, Object
from meshproof.mesh.cluster.objects import MANAGED_BY, RUN_LABEL
from meshproof.mesh.waiting import wait_for

#: Who runs it, and until when at most: what tells a leftover from a run that goes on.
OWNER = "meshproof/owner"
UNTIL = "meshproof/until"


def create(
    kube: Kube, names: Sequence[str], labels: dict[str, str], folder: Path, **more: str
) -> None:
    """Make namespaces with `labels`; `folder` is what their owner holds a lock on."""
    until = datetime.now(UTC) + timedelta(seconds=timeouts.RUN_LIFE)
    annotations = {
        OWNER: f"{socket.gethostname()}:{folder}",
        UNTIL: until.isoformat(timespec="seconds"),
    }
    for name in names:
        metadata: dict[str, Any] = {
            "name": name,
            "labels": {**labels, **more},
            "annotations": annotations,
        }
        kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


def of_run(kube: Kube, run: str) -> list[str]:
    """Return the names of the namespaces that a run has created."""
    return [
        str(one["metadata"]["name"])
        for one in kube.list("v1", "Namespace", labels=f"{RUN_LABEL}={run}")
    ]


def leftovers(kube: Kube) -> list[str]:
    """Return the runs whose owner is gone: killed on this machine, or past its time elsewhere."""
    found = kube.list("v1", "Namespace", labels=f"{MANAGED_BY}=meshproof")
    runs = {one["metadata"]["labels"].get(RUN_LABEL, ""): one for one in found}
    return sorted(run for run, one in runs.items() if run and _abandoned(one))


def _abandoned(namespace: Object) -> bool:
    from meshproof.mesh.process import is_owned

    notes = namespace["metadata"].get("annotations") or {}
    host, _, folder = str(notes.get(OWNER, "")).partition(":")
    if host == socket.gethostname() and folder and os.path.isabs(folder):
        return not is_owned(Path(folder))
    try:
        return datetime.fromisoformat(str(notes.get(UNTIL, ""))) < datetime.now(UTC)
    except ValueError:
        return False


def delete(kube: Kube, names: Sequence[str]) -> None:
    """Delete namespaces and wait until they are gone.

    Raises NotReady for one that does not go, naming what holds it (its conditions say so).
    """
    for name in names:
        kube.delete("v1", "Namespace", name)
    left = list(names)

    def look() -> bool | None:
        left[:] = [name for name in left if kube.get("v1", "Namespace", name) is not None]
        return None if left else True

    wait_for(
        look,
        timeouts.NAMESPACE_END,
        lambda: "\n".join(_held(kube, name) for name in left),
        timeouts.POLL_SLOW,
    )


def _held(kube: Kube, name: str) -> str:
    """Return in words what keeps a namespace from going."""
    found = kube.get("v1", "Namespace", name)
    if found is None:
        return f"namespace {name} has just gone"
    said = [
        str(one.get("message", ""))
        for one in (found.get("status") or {}).get("conditions") or ()
        if one["status"] == "True" and one["type"] != "NamespaceDeletionDiscoveryFailure"
    ]
    return f"namespace {name} does not go: {'; '.join(said) or 'the cluster does not say why'}"


def require_gone(kube: Kube, run: str) -> None:
    """Raise NotReady when anything of the cluster still carries the run's label."""
    left = of_run(kube, run)
    if left:
        raise NotReady(f"run {run} left namespaces: {', '.join(left)}")
