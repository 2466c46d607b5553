"""Reads where pods come from: any object with a pod template, also of kinds that others define.

Sources: Kubernetes API reference (PodTemplateSpec, CronJob), Istio reference (WorkloadEntry,
WorkloadGroup), Argo Rollouts (spec.strategy.canary, spec.workloadRef).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from meshproof.base.names import Labels
from meshproof.documents.kinds import POD_MAKERS
from meshproof.documents.lookup import find_values, read_labels, read_text
from meshproof.documents.manifest import Document
from meshproof.documents.value import Value

#: Kind -> the way to the labels of its pods, for kinds whose pods have these labels and stay.
_LABEL_PATHS: Mapping[tuple[str, str], tuple[str, ...]] = {
    **{
        (group, kind): ("spec", "template", "metadata", "labels")
        for group in ("apps", "extensions")
        for kind in POD_MAKERS
    },
    ("", "ReplicationController"): ("spec", "template", "metadata", "labels"),
    ("", "Pod"): ("metadata", "labels"),
    ("networking.istio.io", "WorkloadEntry"): ("spec", "labels"),
}
#: Where other kinds have the labels of their pods: those may come and go, and get more labels.
_OTHER_LABEL_PATHS = (
    ("spec", "template", "metadata", "labels"),
    ("spec", "jobTemplate", "spec", "template", "metadata", "labels"),
)
#: Where Argo Rollouts has labels that only its canary, or only its stable pods, have.
_ADDED_LABEL_PATHS = (
    ("spec", "strategy", "canary", "canaryMetadata", "labels"),
    ("spec", "strategy", "canary", "stableMetadata", "labels"),
)
#: Labels that controllers and Istio itself add to pods: no file has them.
_ADDED_KEYS = (
    *("pod-template-hash", "rollouts-pod-template-hash", "controller-revision-hash"),
    *("pod-template-generation", "controller-uid", "job-name"),
)
_ADDED_PREFIXES = ("topology.", "istio.io/", "apps.kubernetes.io/", "statefulset.kubernetes.io/")


@dataclass(frozen=True, eq=False)
class PodSource:
    """An object that makes pods, with the labels that they have.

    `is_certain` if its pods are there, and have these labels and those that controllers add. Of
    others the pods may have further labels, or come and go. `is_empty` if it says 0 replicas.
    """

    document: Document
    labels: Labels
    is_certain: bool
    is_empty: bool = False

    def is_selected_by(self, labels: Labels) -> bool:
        """Say whether its pods have all these labels."""
        return set(labels) <= set(self.labels)

    def may_be_selected_by(self, labels: Labels) -> bool:
        """Say whether its pods may have all these labels, with those that the file lacks."""
        values = dict(self.labels)
        return all(
            values[key] == value if key in values else not self.is_certain or is_added_label(key)
            for key, value in labels
        )


def is_added_label(key: str) -> bool:
    """Say whether a controller or Istio gives pods a label with this key."""
    is_added = key in _ADDED_KEYS or key.startswith(_ADDED_PREFIXES)
    return is_added or ".istio.io/" in key


def read_pod_sources(documents: Iterable[Document]) -> list[PodSource]:
    """Return every source of pods in documents of any kind, whatever can be read of it."""
    all_documents = [document for document in documents if _is_named(document)]
    scaled = {
        reference for document in all_documents for reference in _list_scaled_objects(document)
    }
    return [source for document in all_documents for source in _read_sources(document, scaled)]


def makes_pods(document: Document) -> bool:
    """Say whether an object, of whatever kind, has pods: a Job, a Rollout, a CloneSet."""
    return bool(read_pod_sources([document]))


def _is_named(document: Document) -> bool:
    """Say whether an object has a kind, an apiVersion and a name that can be read."""
    content = document.root.content
    names = [*find_values(document.root, "kind"), *find_values(document.root, "apiVersion")]
    names += find_values(document.root, "metadata", "name")
    return isinstance(content, dict) and len(names) == 3 and all(map(read_text, names))


def _list_scaled_objects(document: Document) -> Iterator[tuple[str, str, str]]:
    """Yield kind, namespace and name of each object whose replicas another one decides."""
    references: list[Value] = []
    if document.group != "autoscaling":  # a HorizontalPodAutoscaler leaves 0 replicas alone
        references += find_values(document.root, "spec", "scaleTargetRef")
    references += find_values(document.root, "spec", "workloadRef")
    references += find_values(document.root, "spec", "targetRef")
    for reference in references:
        kind, name = find_values(reference, "kind"), find_values(reference, "name")
        if name:
            kind_text = read_text(kind[0]) if kind else "Deployment"
            yield kind_text, document.namespace, read_text(name[0])


def _read_sources(document: Document, scaled: set[tuple[str, str, str]]) -> Iterator[PodSource]:
    """Yield the pod sources of a document: several where its pods have different labels."""
    path = _LABEL_PATHS.get((document.group, document.kind))
    is_scaled = (document.kind, document.namespace, document.name) in scaled
    if path is not None:
        labels = find_values(document.root, *path)
        replicas = find_values(document.root, "spec", "replicas")
        is_zero = bool(replicas) and replicas[0].content in (0, "0") and not is_scaled
        yield PodSource(document, read_labels(labels[0]) if labels else (), not is_scaled, is_zero)
        return
    if document.kind == "WorkloadGroup":
        labels = find_values(document.root, "spec", "metadata", "labels")
        yield PodSource(document, read_labels(labels[0]) if labels else (), False)
        return
    for other_path in _OTHER_LABEL_PATHS:
        if find_values(document.root, *other_path[:-2]):
            labels = find_values(document.root, *other_path)
            yield from _read_variants(document, read_labels(labels[0]) if labels else ())
    if find_values(document.root, "spec", "workloadRef"):
        yield PodSource(document, (), False)


def _read_variants(document: Document, labels: Labels) -> Iterator[PodSource]:
    """Yield the pods of a template, and those with the labels of a canary or stable version."""
    yield PodSource(document, labels, False)
    for path in _ADDED_LABEL_PATHS:
        for added in find_values(document.root, *path):
            merged = {**dict(labels), **dict(read_labels(added))}
            yield PodSource(document, tuple(sorted(merged.items())), False)
