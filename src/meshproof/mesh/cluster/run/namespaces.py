"""Creates and deletes a run's namespaces, and explains why one is not deleted."""

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
    """Create namespaces with `labels`, or renew the annotations that name the owner and the end.

    `folder` is the folder that the owner has locked.
    """
    annotations = ownership.owner_annotations(folder)
    for name in names:
        metadata: dict[str, Any] = {
            "name": name,
            "labels": {**labels, **extra_labels},
            "annotations": annotations,
        }
        # An interrupted request could create it after the run has listed what to delete.
        with signals.uninterrupted():
            kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


def delete(kube: Kube, names: Sequence[str]) -> None:
    """Delete namespaces and wait until they are gone.

    Raises NotReady, with the reason, for one that remains.
    """
    refs = [ObjectRef("v1", "Namespace", "", name) for name in names]
    for ref in refs:
        kube.delete(*ref.get_args)
    wait_deleted(kube, refs, timeouts.NAMESPACE_END, lambda ref: explain_stuck(kube, ref.name))


def explain_stuck(kube: Kube, name: str) -> str:
    """Explain why a namespace is not deleted: its conditions, finalizers, objects."""
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
    """Yield the messages of a namespace's conditions: which kinds remain, how many objects.

    Source: Kubernetes API, NamespaceConditionType.
    """
    for condition in (namespace.get("status") or {}).get("conditions") or ():
        if condition["status"] == "True" and condition.get("message"):
            yield str(condition["message"]).rstrip(", ")


def _describe_own_finalizers(namespace: Object) -> Iterable[str]:
    """Yield a line if the namespace itself has finalizers."""
    spec_finalizers = [
        finalizer
        for finalizer in namespace["spec"].get("finalizers") or ()
        if finalizer != "kubernetes"
    ]
    finalizers = [*spec_finalizers, *(namespace["metadata"].get("finalizers") or ())]
    if finalizers:
        yield f"the namespace itself has the finalizers {', '.join(finalizers)}"


def _describe_objects_with_finalizers(live_objects: Iterable[LiveObject]) -> Iterable[str]:
    """Yield a line for each object with finalizers, which their owner must remove."""
    for live_object in live_objects:
        if finalizers := live_object.metadata.get("finalizers"):
            yield f"{live_object} has the finalizers {', '.join(finalizers)}"
