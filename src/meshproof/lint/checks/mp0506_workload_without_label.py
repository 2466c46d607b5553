"""Workload without the label that subsets need."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.manifest import At
from meshproof.lint.checks.mp0504_subset_selects_nothing import selections
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project, Workload, find_values
from meshproof.lint.model.inventory import read_inventory

CODE = "MP0506"


def check(project: Project) -> Iterator[Hit]:
    """Report each workload whose pods lack a label that subsets of its host select by."""
    around = read_inventory(project)
    told: set[tuple[int, str]] = set()
    for host, words, wanted, _ in selections(project):
        for workload in around.find_workloads(host):
            there = {key for key, _ in workload.pod_labels}
            for key, value in wanted:
                if key not in there and (id(workload), key) not in told:
                    told.add((id(workload), key))
                    yield Hit(
                        _place(workload),
                        f"the pods of '{workload.document.name}' have no label '{key}', by which "
                        f"{words} of {host} selects",
                        f"{key}: {value}",
                    )


def _place(workload: Workload) -> At:
    root = workload.document.root
    for way in (("spec", "template", "metadata", "labels"), ("metadata", "labels")):
        found = find_values(root, *way)
        if found:
            return found[0].at
    return root.at
