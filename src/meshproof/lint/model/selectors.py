"""What selects workloads of its own namespace by their labels, in whatever kind it stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from meshproof.base.names import Labels, labels
from meshproof.documents.manifest import At, Document
from meshproof.lint.engine.project import Project, Workload, children, spec

#: Kind -> the way to the labels.
KINDS = {
    "Sidecar": ("workloadSelector", "labels"),
    "DestinationRule": ("workloadSelector", "matchLabels"),
    "PeerAuthentication": ("selector", "matchLabels"),
    "RequestAuthentication": ("selector", "matchLabels"),
    "AuthorizationPolicy": ("selector", "matchLabels"),
}


@dataclass(frozen=True, eq=False)
class Selector:
    """A document with the labels that it selects by (none: all of its namespace), and where."""

    document: Document
    labels: Labels
    at: At


def selectors(project: Project, *kinds: str) -> Iterator[Selector]:
    """Yield the selector of every document of these kinds; one that is no text is left out."""
    for document in project.of(*kinds):
        found = next(iter(children(spec(document), *KINDS[document.kind])), None)
        content = found.content if found is not None else {}
        if not isinstance(content, dict):
            continue
        values = {key: one.content for key, one in content.items()}
        texts = {key: one for key, one in values.items() if isinstance(one, str)}
        if len(texts) == len(values):
            at = found.at if found is not None else document.metadata.need("name").at
            yield Selector(document, labels(texts), at)


@lru_cache(maxsize=2)
def _by_label(project: Project) -> dict[tuple[str, tuple[str, str] | None], list[Workload]]:
    """Return the workloads by namespace and each of their labels; under None those of all."""
    found: dict[tuple[str, tuple[str, str] | None], list[Workload]] = {}
    for one in project.workloads:
        for pair in (None, *one.pod_labels):
            found.setdefault((one.document.namespace, pair), []).append(one)
    return found


def workloads_of(project: Project, namespace: str) -> list[Workload]:
    """Return the workloads of a namespace."""
    return _by_label(project).get((namespace, None), [])


def selected(project: Project, one: Selector) -> list[Workload]:
    """Return the workloads that a selector with labels selects in its namespace."""
    filed = one.document.namespace, one.labels[0]
    return [each for each in _by_label(project).get(filed, ()) if each.selected(one.labels)]
