"""Reads the rules in documents, whatever dialect each is written in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType, ModuleType

from meshproof.base.errors import BadRules, UndefinedSubset, suggest_nearest
from meshproof.base.names import INGRESS_CLASS, MESH, Labels
from meshproof.documents.manifest import Document
from meshproof.documents.problems import CheckedDocument, check
from meshproof.inventory.gateway_pods import NO_PODS, GatewayPods
from meshproof.inventory.namespaces import NamespaceLabels
from meshproof.inventory.problems import Problems
from meshproof.rules import judge_options
from meshproof.rules.gateway_api import reader as gateway_api
from meshproof.rules.istio import virtual_service
from meshproof.rules.legacy import destination_policy, egress_rule, ingress, route_rule
from meshproof.rules.model import RuleSet
from meshproof.rules.support import find_support

_LEGACY_READERS = (route_rule, destination_policy, egress_rule, ingress)
_READERS = (virtual_service, gateway_api, *_LEGACY_READERS)
#: (group, kind) of objects without which a route refers to something that is not there.
_EXPLAINING_KINDS = (
    ("networking.istio.io", "DestinationRule"),
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "ReferenceGrant"),
)
_KINDS = (*virtual_service.KINDS, *gateway_api.KINDS, *(reader.KIND for reader in _LEGACY_READERS))


def read_rules(
    documents: Iterable[Document],
    selectors: Mapping[str, Labels] = MappingProxyType({}),
    classes: Collection[str] = (INGRESS_CLASS,),
) -> RuleSet:
    """Return the rules in `documents`, which must all be valid and supported.

    See `collect_rules`. Raises BadRules with file and line for the first problem, and when there
    is no rule at all.
    """
    rules = collect_rules(documents, selectors, classes)
    check_complete(rules)
    return rules


def check_complete(rules: RuleSet) -> None:
    """Raise the first problem of rules as BadRules, and BadRules when there is no rule at all."""
    for problem in rules.problems:
        raise problem
    if rules.is_empty:
        message = "no rules found"
        raise (
            rules.documents[0].at.error(f"{message}: subsets alone route nothing")
            if rules.documents
            else BadRules(message)
        )


def collect_rules(
    documents: Iterable[Document],
    selectors: Mapping[str, Labels] = MappingProxyType({}),
    classes: Collection[str] = (INGRESS_CLASS,),
    namespace_labels: NamespaceLabels = MappingProxyType({}),
    gateway_pods: GatewayPods = NO_PODS,
) -> RuleSet:
    """Return the rules in `documents`, whatever dialect each is written in, and their problems.

    `selectors` are the labels that Services select, by full host: RouteRules name callers by
    Service. `classes` are the names of Istio's IngressClasses, `namespace_labels` the labels of
    Namespace objects, `gateway_pods` the pods that may be proxies of Gateways.
    What is not valid, not supported or of no known dialect, and a second object of one name, is in
    `problems` of the rules and of its route; nothing is ever passed over.
    """
    all_documents = list(documents)
    unread = _UnreadDocuments()
    documents_by_reader: dict[ModuleType, list[CheckedDocument]] = {}
    for document in all_documents:
        with unread.problems:
            reader = _find_reader(document, classes)
            unread.check_name(document)
            checked = check(document, find_support(document.group, document.kind))
            documents_by_reader.setdefault(reader, []).append(checked)
    rules = RuleSet()
    for reader in _READERS:
        checked_documents = documents_by_reader.get(reader, [])
        known: dict[ModuleType, object] = {
            route_rule: selectors,
            gateway_api: namespace_labels,
            virtual_service: gateway_pods,
        }
        arguments = (known[reader],) if reader in known else ()
        rules += reader.read_rules(checked_documents, *arguments)
    problems = [
        problem.error
        for checked_documents in documents_by_reader.values()
        for checked in sorted(checked_documents, key=_explains_nothing)
        for problem in checked.problems
    ]
    problems = [*unread.problems, *problems]
    if all(isinstance(problem, UndefinedSubset) for problem in problems):
        problems += [
            *_find_unused_options(all_documents, rules),
            *_find_rules_of_ingress_targets(rules),
        ]
    return replace(rules, documents=tuple(all_documents), problems=tuple(problems))


def _explains_nothing(checked: CheckedDocument) -> bool:
    """Say whether no route can be wrong because this object is: those that can come first."""
    return (checked.document.group, checked.document.kind) not in _EXPLAINING_KINDS


class _UnreadDocuments:
    """Collects why documents are not read, and finds second objects of one name."""

    def __init__(self) -> None:
        self.problems = Problems()
        self._first_by_name: dict[tuple[str, str, str, str], Document] = {}

    def check_name(self, document: Document) -> None:
        """Raise BadRules for a document whose kind, namespace and name another one has."""
        name = (document.group, document.kind, document.namespace, document.name)
        twin = self._first_by_name.setdefault(name, document)
        if twin is not document:
            raise document.at.error(
                f"two objects of kind {document.kind} are named '{document.name}'; this one would "
                f"replace the one at {twin.at}"
            )


def _find_reader(document: Document, classes: Collection[str]) -> ModuleType:
    """Return the reader of a document. Raises BadRules with file and line if there is none."""
    for reader in _READERS:
        arguments = (classes,) if reader is ingress else ()
        if reader.handles(document, *arguments):
            return reader
    hint = suggest_nearest(document.kind, _KINDS) if document.kind not in _KINDS else ""
    raise document.at.error(
        f"{document.kind} of {document.api_version} is not a rule that meshproof reads{hint}"
    )


def _find_unused_options(documents: Iterable[Document], rules: RuleSet) -> Iterator[BadRules]:
    """Yield an error for each option for the judge that applies to no route of the rules."""
    routes = [route for table in rules.tables for route in table.routes]
    used = {option.at for route in routes for option in route.options}
    for option in (
        rule_document
        for document in documents
        for rule_document in judge_options.read_options(document)
    ):
        if option.at not in used:
            yield option.at.error(
                f"{option.name.replace('_', '-')} holds for no route of the rules"
            )


def _find_rules_of_ingress_targets(rules: RuleSet) -> Iterator[BadRules]:
    """Yield an error for each RouteRule of a host that the ingress reaches itself.

    The ingress of that time followed such a rule; here the rules of a gateway are a table alone.
    """
    targets = {
        target.host: target
        for table in rules.tables
        if table.gateways and MESH not in table.gateways
        for route in table.routes
        for target in route.targets
    }
    for table in rules.tables:
        for host in table.hosts if table.gateways is None else ():
            if host in targets:
                yield table.at.unsupported(
                    f"a RouteRule for {host}, which the ingress reaches itself "
                    f"({targets[host].at}), is not supported yet"
                )
