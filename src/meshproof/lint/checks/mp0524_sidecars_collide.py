"""Two Sidecars for one workload."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from meshproof.inventory.gateways import are_nested
from meshproof.inventory.selectors import Selector
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import format_place

CODE = "MP0524"


def check(project: Project) -> Iterator[Hit]:
    """Report the later of two Sidecars that are for the same workload."""
    reported: set[int] = set()
    for first, second, subject in chain(
        _find_namespace_collisions(project), _find_label_collisions(project)
    ):
        if id(second.document) not in reported:
            reported.add(id(second.document))
            location = format_place(first.document.at, second.at)
            yield Hit(
                second.at,
                f"Sidecar '{second.document.name}' is for {subject}, as Sidecar "
                f"'{first.document.name}' is ({location})",
                "one Sidecar for both, or a workloadSelector that keeps them apart",
            )


def _find_namespace_collisions(project: Project) -> Iterator[tuple[Selector, Selector, str]]:
    """Yield each two Sidecars that are both for all of a namespace, and that in words."""
    first_selectors: dict[str, Selector] = {}
    for selector in project.inventory.list_selectors("Sidecar"):
        namespace = selector.document.namespace
        if not selector.labels and first_selectors.setdefault(namespace, selector) is not selector:
            yield first_selectors[namespace], selector, f"all of namespace {namespace}"


def _find_label_collisions(project: Project) -> Iterator[tuple[Selector, Selector, str]]:
    """Yield each two Sidecars that select the same pods, and these pods in words.

    One selector contains the other, or a workload has the labels of both. Only selectors that
    share a label can contain each other, so only those are compared.
    """
    selectors_by_label: dict[tuple[str, tuple[str, str]], list[Selector]] = {}
    selector_by_workload: dict[int, Selector] = {}
    for selector in project.inventory.list_selectors("Sidecar"):
        for label in selector.labels:
            earlier = selectors_by_label.setdefault((selector.document.namespace, label), [])
            for rival in earlier:
                if are_nested(selector.labels, rival.labels):
                    labels = sorted({*selector.labels, *rival.labels})
                    label_text = ", ".join(f"{key}: {value}" for key, value in labels)
                    yield rival, selector, f"pods with {label_text}"
                    break
            earlier.append(selector)
        workloads = project.inventory.find_selected_workloads(selector) if selector.labels else ()
        for workload in workloads:
            rival = selector_by_workload.setdefault(id(workload.document), selector)
            if rival is not selector:
                yield rival, selector, f"{workload.document.kind} '{workload.document.name}'"
