"""Workload without the label that subsets need."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.checks.mp0504_subset_selects_nothing import list_label_selectors
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project

CODE = "MP0506"


def check(project: Project) -> Iterator[Hit]:
    """Report each workload whose pods lack a label that subsets of its host select by."""
    inventory = project.inventory
    reported: set[tuple[int, str]] = set()
    for host, description, selector, _ in list_label_selectors(project):
        for workload in inventory.find_workloads(host):
            pod_keys = {key for key, _ in workload.pod_labels}
            for key, value in selector:
                if key not in pod_keys and (id(workload), key) not in reported:
                    reported.add((id(workload), key))
                    yield Hit(
                        workload.labels_at,
                        f"the pods of '{workload.document.name}' have no label '{key}', by which "
                        f"{description} of {host} selects",
                        f"{key}: {value}",
                    )
