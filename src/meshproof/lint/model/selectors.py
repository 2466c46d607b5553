"""Selectors: what selects workloads of its own namespace by labels, in any kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from meshproof.base.names import Labels, sort_labels
from meshproof.documents.lookup import find_values, read_spec
from meshproof.documents.manifest import At, Document
from meshproof.inventory.workloads import Workload
from meshproof.lint.engine.project import Project

#: Kind -> the way to the labels.
LABEL_PATHS = {
    "Sidecar": ("workloadSelector", "labels"),
    "DestinationRule": ("workloadSelector", "matchLabels"),
    "PeerAuthentication": ("selector", "matchLabels"),
    "RequestAuthentication": ("selector", "matchLabels"),
    "AuthorizationPolicy": ("selector", "matchLabels"),
}


@dataclass(frozen=True, eq=False)
class Selector:
    """A document with the labels that it selects by. None: all of its namespace."""

    document: Document
    labels: Labels
    at: At


def read_selectors(project: Project, *kinds: str) -> Iterator[Selector]:
    """Yield the selector of every document of these kinds, unless a label is no text."""
    for document in project.named_documents(*kinds):
        labels_value = next(
            iter(find_values(read_spec(document), *LABEL_PATHS[document.kind])), None
        )
        content = labels_value.content if labels_value is not None else {}
        if not isinstance(content, dict):
            continue
        values = {key: label_value.content for key, label_value in content.items()}
        texts = {
            key: label_value for key, label_value in values.items() if isinstance(label_value, str)
        }
        if len(texts) == len(values):
            at = labels_value.at if labels_value is not None else document.metadata.need("name").at
            yield Selector(document, sort_labels(texts), at)


@lru_cache(maxsize=2)
def _index_workloads(project: Project) -> dict[tuple[str, tuple[str, str] | None], list[Workload]]:
    """Return the workloads by namespace and label. Under None are all of a namespace."""
    index: dict[tuple[str, tuple[str, str] | None], list[Workload]] = {}
    for workload in project.inventory.workloads:
        for label in (None, *workload.pod_labels):
            index.setdefault((workload.document.namespace, label), []).append(workload)
    return index


def list_workloads(project: Project, namespace: str) -> list[Workload]:
    """Return the workloads of a namespace."""
    return _index_workloads(project).get((namespace, None), [])


def find_selected_workloads(project: Project, selector: Selector) -> list[Workload]:
    """Return the workloads that a selector with labels selects in its namespace."""
    index_key = selector.document.namespace, selector.labels[0]
    return [
        workload
        for workload in _index_workloads(project).get(index_key, ())
        if workload.is_selected_by(selector.labels)
    ]
