"""Selector that selects no workload."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import ROOT_NAMESPACE
from meshproof.documents.schema import find_closest_word
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.selectors import (
    LABEL_PATHS,
    Selector,
    find_selected_workloads,
    list_workloads,
    read_selectors,
)

CODE = "MP0525"


def check(project: Project) -> Iterator[Hit]:
    """Report each selector that no workload of its namespace has the labels of."""
    for one in read_selectors(project, *LABEL_PATHS):
        if not one.labels or one.document.namespace == ROOT_NAMESPACE:
            continue  # it is for all namespaces
        if list_workloads(project, one.document.namespace) and not find_selected_workloads(
            project, one
        ):
            shown = ", ".join(f"{key}: {value}" for key, value in one.labels)
            said = f"no workload of namespace {one.document.namespace} has {shown}"
            yield Hit(
                one.at, f"{one.document.kind} '{one.document.name}': {said}", _repair(project, one)
            )


def _repair(project: Project, one: Selector) -> str:
    """Return the labels that are nearest to those that are asked for."""
    there = list_workloads(project, one.document.namespace)
    known = {f"{key}: {value}" for each in there for key, value in each.pod_labels}
    near = [find_closest_word(f"{key}: {value}", sorted(known), 0.7) for key, value in one.labels]
    return ", ".join(near) if all(near) else "the labels of the pods that are meant"
