"""Workload without the label that subsets need."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.lookup import find_values
from meshproof.documents.manifest import At
from meshproof.inventory.workloads import Workload
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
                        _locate_labels(workload),
                        f"the pods of '{workload.document.name}' have no label '{key}', by which "
                        f"{description} of {host} selects",
                        f"{key}: {value}",
                    )


def _locate_labels(workload: Workload) -> At:
    """Return the place of the labels of the pods, or of the document without any."""
    root = workload.document.root
    for path in (("spec", "template", "metadata", "labels"), ("metadata", "labels")):
        labels = find_values(root, *path)
        if labels:
            return labels[0].at
    return root.at
