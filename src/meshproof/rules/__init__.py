"""One model of routing, read from several dialects."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from meshproof.base.names import INGRESS_CLASS, Labels
from meshproof.documents.manifest import Document
from meshproof.inventory.gateway_pods import NO_PODS, GatewayPods
from meshproof.inventory.namespaces import NamespaceLabels
from meshproof.rules.model import RuleSet

__all__ = ["RuleSet", "check_complete", "collect_rules", "read_rules"]


def read_rules(
    documents: Iterable[Document],
    selectors: Mapping[str, Labels] = MappingProxyType({}),
    classes: Collection[str] = (INGRESS_CLASS,),
) -> RuleSet:
    """Return the rules in `documents`; see `meshproof.rules.reading.read_rules`."""
    from meshproof.rules import reading  # late: the model alone needs no dialect

    return reading.read_rules(documents, selectors, classes)


def collect_rules(
    documents: Iterable[Document],
    selectors: Mapping[str, Labels] = MappingProxyType({}),
    classes: Collection[str] = (INGRESS_CLASS,),
    namespace_labels: NamespaceLabels = MappingProxyType({}),
    gateway_pods: GatewayPods = NO_PODS,
) -> RuleSet:
    """Return the rules in `documents`; see `meshproof.rules.reading.collect_rules`."""
    from meshproof.rules import reading

    return reading.collect_rules(documents, selectors, classes, namespace_labels, gateway_pods)


def check_complete(rules: RuleSet) -> None:
    """Raise the first problem of rules; see `meshproof.rules.reading.check_complete`."""
    from meshproof.rules import reading

    reading.check_complete(rules)
