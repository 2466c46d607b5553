"""Two Sidecars for one workload."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.inventory import are_nested
from meshproof.lint.model.route import format_place
from meshproof.lint.model.selectors import Selector, find_selected_workloads, read_selectors

CODE = "MP0524"


def check(project: Project) -> Iterator[Hit]:
    """Report the later of two Sidecars that are for the same workload."""
    told: set[int] = set()
    for one, other, said in chain(_of_namespaces(project), _of_labels(project)):
        if id(other.document) not in told:
            told.add(id(other.document))
            place = format_place(one.document.at, other.at)
            yield Hit(
                other.at,
                f"Sidecar '{other.document.name}' is for {said}, as Sidecar "
                f"'{one.document.name}' is ({place})",
                "one Sidecar for both, or a workloadSelector that keeps them apart",
            )


def _of_namespaces(project: Project) -> Iterator[tuple[Selector, Selector, str]]:
    """Yield two Sidecars for all of a namespace, and what they are both for."""
    first: dict[str, Selector] = {}
    for one in read_selectors(project, "Sidecar"):
        namespace = one.document.namespace
        if not one.labels and first.setdefault(namespace, one) is not one:
            yield first[namespace], one, f"all of namespace {namespace}"


def _of_labels(project: Project) -> Iterator[tuple[Selector, Selector, str]]:
    """Yield two Sidecars that select the same pods: by their labels, or since a workload has both.

    Selectors of which one contains the other share a label: only those are compared.
    """
    filed: dict[tuple[str, tuple[str, str]], list[Selector]] = {}
    chosen: dict[int, Selector] = {}
    for one in read_selectors(project, "Sidecar"):
        for pair in one.labels:
            earlier = filed.setdefault((one.document.namespace, pair), [])
            for other in earlier:
                if are_nested(one.labels, other.labels):
                    both = sorted({*one.labels, *other.labels})
                    words = ", ".join(f"{key}: {value}" for key, value in both)
                    yield other, one, f"pods with {words}"
                    break
            earlier.append(one)
        for workload in find_selected_workloads(project, one) if one.labels else ():
            other = chosen.setdefault(id(workload.document), one)
            if other is not one:
                yield other, one, f"{workload.document.kind} '{workload.document.name}'"
