"""Reads selectors: what selects workloads of its own namespace by labels, in any kind.

Sources: Istio reference, Sidecar, DestinationRule, PeerAuthentication, RequestAuthentication and
AuthorizationPolicy (WorkloadSelector).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from meshproof.base.names import Labels, sort_labels
from meshproof.documents.lookup import find_values, read_spec
from meshproof.documents.manifest import At, Document

#: Kind -> the way to the labels.
LABEL_PATHS = {
    "Sidecar": ("workloadSelector", "labels"),
    "DestinationRule": ("workloadSelector", "matchLabels"),
    "PeerAuthentication": ("selector", "matchLabels"),
    "RequestAuthentication": ("selector", "matchLabels"),
    "AuthorizationPolicy": ("selector", "matchLabels"),
}


@dataclass(frozen=True, eq=False)
class Selector:
    """A document with the labels that it selects by, () for all of its namespace."""

    document: Document
    labels: Labels
    at: At


def read_selectors(documents: Iterable[Document]) -> tuple[Selector, ...]:
    """Return the selector of each document of these kinds, unless a label is no text."""
    return tuple(selector for document in documents for selector in _read_selector(document))


def _read_selector(document: Document) -> list[Selector]:
    """Return the selector of a document, none if its labels cannot be read."""
    labels_value = next(iter(find_values(read_spec(document), *LABEL_PATHS[document.kind])), None)
    if labels_value is None:
        return [Selector(document, (), document.metadata.need("name").at)]
    content = labels_value.content
    if not isinstance(content, dict):
        return []
    texts = {key: value.content for key, value in content.items() if isinstance(value.content, str)}
    return (
        [Selector(document, sort_labels(texts), labels_value.at)]
        if len(texts) == len(content)
        else []
    )
