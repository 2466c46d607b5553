"""Subset that selects all workloads."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.inventory.workloads import Workload
from meshproof.lint.checks.mp0504_subset_selects_nothing import list_label_selectors
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project

CODE = "MP0505"


def check(project: Project) -> Iterator[Hit]:
    """Report each set of labels that all workloads of a host have, though other labels differ."""
    inventory = project.inventory
    for host, description, selector, at in list_label_selectors(project):
        workloads = inventory.find_workloads(host)
        label_sets = {workload.pod_labels for workload in workloads}
        if len(label_sets) > 1 and all(workload.is_selected_by(selector) for workload in workloads):
            names = ", ".join(workload.document.name for workload in workloads)
            yield Hit(
                at,
                f"{description} selects all workloads of {host}: {names}",
                _suggest_label(workloads),
            )


def _suggest_label(workloads: list[Workload]) -> str:
    """Suggest the first label in which the workloads differ, empty where there is none."""
    label_sets = [dict(workload.pod_labels) for workload in workloads]
    keys = sorted({key for labels in label_sets for key in labels})
    key = next((key for key in keys if len({labels.get(key) for labels in label_sets}) > 1), None)
    if key is None:
        return ""
    values = ", ".join(labels.get(key, "none") for labels in label_sets)
    return f"the label that tells them apart: {key} ({values})"
