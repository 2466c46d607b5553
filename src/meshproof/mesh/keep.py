"""A local mesh that stays up after the command that started it, to be looked at and played with."""

from __future__ import annotations

import importlib
import json
from typing import Any

from meshproof.mesh import process
from meshproof.mesh.local import LocalMesh
from meshproof.mesh.protocol import Options
from meshproof.rules.model import MtlsMode


def up(mtls: MtlsMode, port: int, envoy: str | None) -> dict[str, Any]:
    """Start a mesh with all demo apps and leave it running; return its address.

    Raises NotReady or BadRules, then nothing is left.
    """
    # By name: nothing in the engine imports the data folders by statement.
    manifests = importlib.import_module("meshproof.manifests")
    options = Options(mtls=mtls, ingress_port=port, envoy=envoy)
    with LocalMesh.opened(options) as mesh:
        mesh.deploy(manifests.apps())
        state = {"url": mesh.address("ingress").url, "pods": len(mesh.replicas()), "mtls": mtls}
        mesh.workspace.keep(json.dumps(state))
    return state


def status() -> list[dict[str, Any]]:
    """Return the state of every mesh that was left running, with its live processes counted."""
    return [
        {**json.loads(workspace.kept or "{}"), "processes": len(process.marked(workspace.path))}
        for workspace in process.runs()
        if workspace.kept is not None
    ]


def down() -> int:
    """End every mesh that was left running; return how many."""
    kept = [workspace for workspace in process.runs() if workspace.kept is not None]
    for workspace in kept:
        workspace.close()
    return len(kept)
