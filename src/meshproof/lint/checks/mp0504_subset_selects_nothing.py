"""Subset that selects no workload."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import Labels
from meshproof.documents.manifest import At
from meshproof.inventory.workloads import Workload
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route_tables import list_destinations

CODE = "MP0504"

#: Istio itself adds these labels to pods, from their node.
_TOPOLOGY_PREFIX = "topology."


def check(project: Project) -> Iterator[Hit]:
    """Report each set of labels that none of the host's workloads has.

    No hit for a host without known workloads, nor where a workload lacks a key (MP0506).
    """
    inventory = project.inventory
    for host, description, selector, at in list_label_selectors(project):
        workloads = inventory.find_workloads(host)
        if not workloads or any(workload.is_selected_by(selector) for workload in workloads):
            continue
        if _lacks_key(workloads, selector):
            continue  # the workload without the label is reported (MP0506)
        yield Hit(
            at, f"{description} selects no workload of {host}", _suggest_labels(workloads, selector)
        )


def list_label_selectors(project: Project) -> Iterator[tuple[str, str, Labels, At]]:
    """Yield each set of labels that selects pods of a host: host, description, labels, place.

    Subsets with topology labels are left out.
    """
    for rule in project.inventory.destination_rules:
        for subset in rule.subsets:
            if not any(key.startswith(_TOPOLOGY_PREFIX) for key, _ in subset.labels):
                yield rule.host, f"subset '{subset.name}'", subset.labels, subset.at
    for _, _, destination in list_destinations(project):
        if destination.labels:
            label_text = ", ".join(f"{key}: {value}" for key, value in destination.labels)
            yield destination.host, f"'{label_text}'", destination.labels, destination.at


def _lacks_key(workloads: list[Workload], selector: Labels) -> bool:
    """Say whether some workload has no label at all under a key of the selector."""
    keys = {key for key, _ in selector}
    return any(not keys <= {key for key, _ in workload.pod_labels} for workload in workloads)


def _suggest_labels(workloads: list[Workload], selector: Labels) -> str:
    """List the values that the workloads have under the keys of the selector."""
    keys = {key for key, _ in selector}
    label_texts = sorted(
        {
            ", ".join(f"{key}: {value}" for key, value in workload.pod_labels if key in keys)
            for workload in workloads
        }
    )
    return f"the workloads have {' / '.join(label_texts)}"
