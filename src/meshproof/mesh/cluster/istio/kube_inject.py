"""Adds sidecars with `istioctl kube-inject` instead of namespace labels.

Source: Istio docs, "Installing the Sidecar", section "Manual sidecar injection".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from meshproof.base.errors import NotReady
from meshproof.documents.kinds import POD_MAKERS
from meshproof.mesh.cluster.api.objects import RunObject
from meshproof.mesh.cluster.istio.istioctl import Istioctl
from meshproof.mesh.cluster.proxies.proxies import has_sidecar

_WORKLOADS = frozenset({*POD_MAKERS, "Job"})


def inject_sidecars(
    run_objects: Sequence[RunObject], istioctl: Istioctl, namespace: str, revision: str
) -> list[RunObject]:
    """Return the objects with a sidecar in the pod template of each workload.

    `namespace` is that of istiod, `revision` the injecting one (empty: the default). Raises
    NotReady when istioctl is missing or fails, and for a workload that gets no sidecar.
    """
    workloads = [run_object for run_object in run_objects if run_object.kind in _WORKLOADS]
    if not workloads:
        return list(run_objects)
    arguments = ["kube-inject", "--filename=-", f"--istioNamespace={namespace}"]
    arguments += [f"--revision={revision}"] if revision else []
    manifest = "\n---\n".join(json.dumps(workload.body) for workload in workloads)
    bodies = {_key(body): body for body in _parse_yaml(istioctl.run(*arguments, text=manifest))}
    return [
        RunObject(_require_sidecar(bodies, run_object), run_object.at)
        if run_object.kind in _WORKLOADS
        else run_object
        for run_object in run_objects
    ]


def _parse_yaml(yaml_text: str) -> list[dict[str, Any]]:
    """Return the documents of istioctl's output. Raises NotReady if it is not YAML."""
    import yaml

    try:
        documents = list(yaml.load_all(yaml_text, Loader=yaml.CSafeLoader))
    except yaml.YAMLError as error:
        raise NotReady(f"istioctl kube-inject: what it prints is not YAML: {error}") from None
    return [document for document in documents if isinstance(document, dict)]


def _key(body: dict[str, Any]) -> tuple[str, ...]:
    """Return kind, namespace and name of an object."""
    metadata = body["metadata"]
    return str(body["kind"]), str(metadata.get("namespace")), str(metadata["name"])


def _require_sidecar(
    bodies: dict[tuple[str, ...], dict[str, Any]], run_object: RunObject
) -> dict[str, Any]:
    """Return the injected workload without fields that only a cluster may write.

    Raises NotReady if it has no sidecar.
    """
    body = bodies.get(_key(run_object.body))
    if body is None or not has_sidecar(body["spec"]["template"]):
        reason = "the label sidecar.istio.io/inject or hostNetwork keeps a sidecar out"
        raise NotReady(
            f"{run_object.at}: istioctl kube-inject gave {run_object.name} no sidecar: {reason}"
        )
    body.pop("status", None)
    for part in (body, body["spec"]["template"]):
        part.get("metadata", {}).pop("creationTimestamp", None)
    return body
