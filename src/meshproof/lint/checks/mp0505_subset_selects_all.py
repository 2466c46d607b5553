"""Subset that selects all workloads."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.checks.mp0504_subset_selects_nothing import selections
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project, Workload
from meshproof.lint.model.inventory import read_inventory

CODE = "MP0505"


def check(project: Project) -> Iterator[Hit]:
    """Report each set of labels that all workloads of a host have, where they differ in others."""
    around = read_inventory(project)
    for host, words, wanted, at in selections(project):
        workloads = around.find_workloads(host)
        versions = {one.pod_labels for one in workloads}
        if len(versions) > 1 and all(one.is_selected_by(wanted) for one in workloads):
            names = ", ".join(one.document.name for one in workloads)
            yield Hit(at, f"{words} selects all workloads of {host}: {names}", _telling(workloads))


def _telling(workloads: list[Workload]) -> str:
    """Return the labels that tell the workloads apart."""
    every = [dict(one.pod_labels) for one in workloads]
    keys = sorted({key for one in every for key in one})
    apart = [key for key in keys if len({one.get(key) for one in every}) > 1]
    values = ", ".join(one.get(apart[0], "none") for one in every) if apart else ""
    return f"the label that tells them apart: {apart[0]} ({values})" if apart else ""
