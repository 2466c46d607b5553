"""The namespaces of a run: made with its labels and its owner, and what keeps one from going."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from meshproof.base import signals, timeouts
from meshproof.mesh.cluster.api.client import Kube, Object
from meshproof.mesh.cluster.api.kinds import LiveObject, discover_kinds, list_objects
from meshproof.mesh.cluster.api.object_ref import ObjectRef, wait_deleted
from meshproof.mesh.cluster.run import ownership


def create(
    kube: Kube, names: Sequence[str], labels: dict[str, str], folder: Path, **extra_labels: str
) -> None:
    """Make namespaces with `labels`, or say again whose they are and until when.

    `folder` is what their owner holds a lock on.
    """
    annotations = ownership.owner_annotations(folder)
    for name in names:
        metadata: dict[str, Any] = {
            "name": name,
            "labels": {**labels, **extra_labels},
            "annotations": annotations,
        }
        # Cut short it might come to be after the run has looked for what it must delete.
        with signals.uninterrupted():
            kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


def delete(kube: Kube, names: Sequence[str]) -> None:
    """Delete namespaces and wait until they are gone.

    Raises NotReady for one that does not go, naming what holds it.
    """
    refs = [ObjectRef("v1", "Namespace", "", name) for name in names]
    for ref in refs:
        kube.delete(*ref.get_args)
    wait_deleted(kube, refs, timeouts.NAMESPACE_END, lambda ref: explain_stuck(kube, ref.name))


def explain_stuck(kube: Kube, name: str) -> str:
    """Return in words what keeps a namespace from going: its conditions, finalizers, objects."""
    namespace = kube.get("v1", "Namespace", name)
    if namespace is None:
        return f"namespace {name} has just gone"
    if not namespace["metadata"].get("deletionTimestamp"):
        return f"namespace {name} is not being deleted"
    live_objects, _ = list_objects(kube, discover_kinds(kube), namespace=name)
    reasons = [
        *_describe_conditions(namespace),
        *_describe_own_finalizers(namespace),
        *_describe_objects_with_finalizers(live_objects),
    ]
    return f"namespace {name} does not go: {'; '.join(reasons) or 'the cluster does not say why'}"


def _describe_conditions(namespace: Object) -> Iterable[str]:
    """Yield what the namespace's conditions say: which kinds are left and how many of each.

    Source: Kubernetes API, NamespaceConditionType.
    """
    for condition in (namespace.get("status") or {}).get("conditions") or ():
        if condition["status"] == "True" and condition.get("message"):
            yield str(condition["message"]).rstrip(", ")


def _describe_own_finalizers(namespace: Object) -> Iterable[str]:
    """Yield the finalizers that are the namespace's own."""
    spec_finalizers = [
        finalizer
        for finalizer in namespace["spec"].get("finalizers") or ()
        if finalizer != "kubernetes"
    ]
    finalizers = [*spec_finalizers, *(namespace["metadata"].get("finalizers") or ())]
    if finalizers:
        yield f"the namespace itself has the finalizers {', '.join(finalizers)}"


def _describe_objects_with_finalizers(live_objects: Iterable[LiveObject]) -> Iterable[str]:
    """Yield the objects that have finalizers: whoever set one must take it away."""
    for live_object in live_objects:
        if finalizers := live_object.metadata.get("finalizers"):
            yield f"{live_object} has the finalizers {', '.join(finalizers)}"
