"""Reads workloads: whatever has pods, with the labels of these.

Source: Kubernetes API reference, PodTemplateSpec and Pod.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from meshproof.base.errors import BadRules
from meshproof.base.names import Labels, sort_labels
from meshproof.documents.kinds import POD_MAKERS
from meshproof.documents.manifest import At, Document
from meshproof.inventory.problems import Problems

#: Kinds whose pods answer requests. A Pod is its own template.
WORKLOAD_KINDS = (*POD_MAKERS, "Pod")


@dataclass(frozen=True, eq=False)
class Workload:
    """A workload with the labels of its pods, () if they cannot be read.

    `labels_at` is where these stand, or where the document begins.
    """

    document: Document
    pod_labels: Labels
    labels_at: At
    problems: tuple[BadRules, ...] = ()

    def is_selected_by(self, selector: Labels) -> bool:
        """Say whether the pods have every label of `selector`."""
        return set(selector) <= set(self.pod_labels)


def read_workloads(documents: Iterable[Document]) -> tuple[Workload, ...]:
    """Return the workloads of documents of these kinds, with problems instead of raising."""
    return tuple(map(_read_workload, documents))


def _read_workload(document: Document) -> Workload:
    problems, labels_at = Problems(), document.at
    pod_labels: Labels = ()
    with problems:
        _ = document.name, document.namespace
        is_pod = document.kind == "Pod"
        template = document.root if is_pod else document.spec.need("template")
        metadata = template.get("metadata")
        labels = metadata.get("labels") if metadata else None
        if labels is not None:
            labels_at = labels.at
            pod_labels = sort_labels(labels.text_mapping())
    return Workload(document, pod_labels, labels_at, tuple(problems))
