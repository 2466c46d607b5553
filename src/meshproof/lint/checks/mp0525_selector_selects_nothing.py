"""Selector that selects no workload."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import ROOT_NAMESPACE
from meshproof.documents.schema import find_closest_word
from meshproof.inventory.selectors import LABEL_PATHS, Selector
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project

CODE = "MP0525"


def check(project: Project) -> Iterator[Hit]:
    """Report each selector whose labels no workload of its namespace has."""
    for selector in project.inventory.list_selectors(*LABEL_PATHS):
        if not selector.labels or selector.document.namespace == ROOT_NAMESPACE:
            continue  # it is for all namespaces
        namespace = selector.document.namespace
        if project.inventory.find_selected_workloads(selector):
            continue
        if project.inventory.list_workloads(namespace):
            label_text = ", ".join(f"{key}: {value}" for key, value in selector.labels)
            message = f"no workload of namespace {namespace} has {label_text}"
            yield Hit(
                selector.at,
                f"{selector.document.kind} '{selector.document.name}': {message}",
                _suggest_labels(project, selector),
            )


def _suggest_labels(project: Project, selector: Selector) -> str:
    """Suggest the labels of workloads that are most like those of the selector."""
    workloads = project.inventory.list_workloads(selector.document.namespace)
    known_labels = {
        f"{key}: {value}" for workload in workloads for key, value in workload.pod_labels
    }
    nearest_labels = [
        find_closest_word(f"{key}: {value}", sorted(known_labels), 0.7)
        for key, value in selector.labels
    ]
    if not all(nearest_labels):
        return "the labels of the pods that are meant"
    return ", ".join(nearest_labels)
