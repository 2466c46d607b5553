"""Subset that selects no workload."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import Labels
from meshproof.documents.manifest import At
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project, Workload
from meshproof.lint.model.inventory import read_inventory
from meshproof.lint.model.route_tables import list_destinations

CODE = "MP0504"

#: Istio adds these labels to pods itself, from the node that they run on.
_BY_PLACE = "topology."


def check(project: Project) -> Iterator[Hit]:
    """Report each set of labels that none of the host's workloads has."""
    around = read_inventory(project)
    for host, words, wanted, at in selections(project):
        workloads = around.find_workloads(host)
        if not workloads or any(one.is_selected_by(wanted) for one in workloads):
            continue
        if _lacking_key(workloads, wanted):
            continue  # the workload without the label is reported (MP0506)
        yield Hit(at, f"{words} selects no workload of {host}", _repair(workloads, wanted))


def selections(project: Project) -> Iterator[tuple[str, str, Labels, At]]:
    """Yield every set of labels that a rule selects pods of a host with, in words, and where."""
    for policy in read_inventory(project).destination_rules:
        for subset in policy.subsets:
            if not any(key.startswith(_BY_PLACE) for key, _ in subset.labels):
                yield policy.host, f"subset '{subset.name}'", subset.labels, subset.at
    for _, _, target in list_destinations(project):
        if target.labels:
            shown = ", ".join(f"{key}: {value}" for key, value in target.labels)
            yield target.host, f"'{shown}'", target.labels, target.at


def _lacking_key(workloads: list[Workload], wanted: Labels) -> bool:
    keys = {key for key, _ in wanted}
    return any(not keys <= {key for key, _ in one.pod_labels} for one in workloads)


def _repair(workloads: list[Workload], wanted: Labels) -> str:
    keys = {key for key, _ in wanted}
    found = sorted(
        {
            ", ".join(f"{key}: {value}" for key, value in one.pod_labels if key in keys)
            for one in workloads
        }
    )
    return f"the workloads have {' / '.join(found)}"
