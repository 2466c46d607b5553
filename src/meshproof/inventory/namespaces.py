"""Reads the labels of namespaces, and selectors of namespaces by them.

Sources: Kubernetes reference, Namespace and LabelSelector; well-known labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from meshproof.documents.lookup import read_text
from meshproof.documents.manifest import Document, Value

#: The label of every namespace with its name.
NAME_LABEL = "kubernetes.io/metadata.name"
_OPERATORS = ("DoesNotExist", "Exists", "In", "NotIn")
#: Namespace -> its labels, of those with a Namespace object.
NamespaceLabels = Mapping[str, Mapping[str, str]]


def read_namespace_labels(documents: Iterable[Document]) -> NamespaceLabels:
    """Return the labels of the namespaces that documents define."""
    return {
        document.name: _read_labels(document)
        for document in documents
        if document.kind == "Namespace" and document.api_version == "v1"
    }


def _read_labels(document: Document) -> dict[str, str]:
    """Return the labels of a Namespace."""
    labels = document.metadata.get("labels")
    content = labels.mapping() if labels is not None else {}
    return {key: read_text(value) for key, value in content.items()}


@dataclass(frozen=True)
class Requirement:
    """A condition on one label: `operator` is that of a LabelSelector."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Say whether labels are as required."""
        is_among = labels.get(self.key) in self.values
        return {
            "In": is_among,
            "NotIn": not is_among,
            "Exists": self.key in labels,
            "DoesNotExist": self.key not in labels,
        }[self.operator]


@dataclass(frozen=True)
class NamespaceSelector:
    """A selector of namespaces by labels: all `requirements` must hold."""

    requirements: tuple[Requirement, ...]

    def selects(self, namespace: str, labels_by_namespace: NamespaceLabels) -> bool | None:
        """Say whether it selects a namespace; None where that depends on labels not known."""
        name_label = {NAME_LABEL: namespace}
        labels = labels_by_namespace.get(namespace)
        if labels is not None:
            return all(rule.holds({**labels, **name_label}) for rule in self.requirements)
        known = [rule for rule in self.requirements if rule.key == NAME_LABEL]
        if not all(rule.holds(name_label) for rule in known):
            return False
        return True if len(known) == len(self.requirements) else None


def read_selector(selector: Value) -> NamespaceSelector:
    """Return a selector of namespaces. Raises BadRules with file and line for a wrong one."""
    labels = selector.get("matchLabels")
    wanted = labels.text_mapping() if labels else {}
    requirements = [Requirement(key, "In", (value,)) for key, value in wanted.items()]
    for expression in selector.entries("matchExpressions"):
        operator = expression.need("operator").choice(*_OPERATORS)
        needs_values = operator in ("In", "NotIn")
        values = expression.need("values").items() if needs_values else []
        texts = tuple(value.text() for value in values)
        requirements.append(Requirement(expression.need("key").text(), operator, texts))
    return NamespaceSelector(tuple(requirements))
