"""Reads the rules in documents, whatever dialect each is written in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType, ModuleType

from meshproof.base.errors import BadRules, suggest_nearest
from meshproof.base.names import INGRESS_CLASS, Labels
from meshproof.documents.manifest import Document
from meshproof.rules import judge_options
from meshproof.rules.gateway_api import reader as gateway_api
from meshproof.rules.istio import virtual_service
from meshproof.rules.legacy import destination_policy, egress_rule, ingress, route_rule
from meshproof.rules.model import RuleSet

_LEGACY_READERS = (route_rule, destination_policy, egress_rule, ingress)
_READERS = (virtual_service, gateway_api, *_LEGACY_READERS)
_KINDS = (*virtual_service.KINDS, *gateway_api.KINDS, *(reader.KIND for reader in _LEGACY_READERS))
#: The keys of every object (Kubernetes API reference, ObjectMeta).
_OBJECT_KEYS = ("apiVersion", "kind", "metadata", "spec", "status")
_METADATA_KEYS = (
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
)


def read_rules(
    documents: Iterable[Document],
    selectors: Mapping[str, Labels] = MappingProxyType({}),
    classes: Collection[str] = (INGRESS_CLASS,),
) -> RuleSet:
    """Return the rules in `documents`, whatever dialect each is written in.

    `selectors` are the labels that Services select, by full host: RouteRules name callers by
    Service. `classes` are the names of Istio's IngressClasses.

    Raises BadRules with file and line for a document of no known dialect (none is ever ignored),
    for one that is invalid, for two of one name, and when there is no rule at all.
    """
    all_documents = list(documents)
    readers = [_find_reader(document, classes) for document in all_documents]
    _check_objects(all_documents)
    rules = RuleSet()
    for reader in _READERS:
        reader_documents = (
            document
            for document, document_reader in zip(all_documents, readers, strict=True)
            if document_reader is reader
        )
        rules += (
            route_rule.read_rules(reader_documents, selectors)
            if reader is route_rule
            else reader.read_rules(reader_documents)
        )
    if rules.is_empty:
        message = "no rules found"
        raise (
            all_documents[0].at.error(f"{message}: subsets alone route nothing")
            if all_documents
            else BadRules(message)
        )
    _check_options(all_documents, rules)
    return replace(rules, documents=tuple(all_documents))


def _find_reader(document: Document, classes: Collection[str]) -> ModuleType:
    """Return the reader of a document. Raises BadRules with file and line if there is none."""
    for reader in _READERS:
        arguments = (classes,) if reader is ingress else ()
        if reader.handles(document, *arguments):
            return reader
    raise document.at.error(
        f"{document.kind} of {document.api_version} is not a rule that meshproof "
        f"reads{suggest_nearest(document.kind, _KINDS)}"
    )


def _check_options(documents: Iterable[Document], rules: RuleSet) -> None:
    """Check that each option for the judge applies to a route of the rules."""
    routes = [route for table in rules.tables for route in table.routes]
    used = {option.at for route in routes for option in route.options}
    for option in (
        rule_document
        for document in documents
        for rule_document in judge_options.read_options(document)
    ):
        if option.at not in used:
            raise option.at.error(
                f"{option.name.replace('_', '-')} holds for no route of the rules"
            )


def _check_objects(documents: Iterable[Document]) -> None:
    """Check what does not depend on the dialect: top-level keys, metadata, unique names."""
    first_by_name: dict[tuple[str, str, str, str], Document] = {}
    for document in documents:
        document.root.check_keys(*_OBJECT_KEYS)
        document.metadata.check_keys(*_METADATA_KEYS)
        name = (document.group, document.kind, document.namespace, document.name)
        twin = first_by_name.setdefault(name, document)
        if twin is not document:
            raise document.at.error(
                f"two objects of kind {document.kind} are named '{document.name}'; this one would "
                f"replace the one at {twin.at}"
            )
