"""Documents of every dialect -> the rules in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType, ModuleType

from meshproof.base.errors import BadRules, nearest
from meshproof.base.names import INGRESS_CLASS, Labels
from meshproof.documents.manifest import Document
from meshproof.rules import judge_options
from meshproof.rules.gateway_api import objects
from meshproof.rules.istio import virtual_service
from meshproof.rules.legacy import destination_policy, egress_rule, ingress, route_rule
from meshproof.rules.model import RuleSet

_LEGACY = (route_rule, destination_policy, egress_rule, ingress)
_READERS = (virtual_service, objects, *_LEGACY)
_KINDS = (*virtual_service.KINDS, *objects.KINDS, *(reader.KIND for reader in _LEGACY))
#: The keys of every object (Kubernetes API reference, ObjectMeta).
_OBJECT = ("apiVersion", "kind", "metadata", "spec", "status")
_METADATA = (
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


def read(
    documents: Iterable[Document],
    selectors: Mapping[str, Labels] = MappingProxyType({}),
    classes: Collection[str] = (INGRESS_CLASS,),
) -> RuleSet:
    """Return the rules in `documents`, in whatever dialect each is written.

    `selectors` are the labels that Services select, by full host: RouteRules name callers so.
    `classes` are the names of the IngressClasses that are Istio's.

    Raises BadRules with its place for a document of no known dialect (it is never passed over), for
    one that cannot be read, for two of one name, and when there is no rule at all.
    """
    found = list(documents)
    readers = [_reader(one, classes) for one in found]
    _check_names(found)
    rules = RuleSet()
    for reader in _READERS:
        own = (one for one, by in zip(found, readers, strict=True) if by is reader)
        rules += route_rule.read(own, selectors) if reader is route_rule else reader.read(own)
    if rules.is_empty:
        said = "no rules found"
        raise found[0].at.error(f"{said}: subsets alone route nothing") if found else BadRules(said)
    _check_options(found, rules)
    return replace(rules, documents=tuple(found))


def _reader(document: Document, classes: Collection[str]) -> ModuleType:
    """Return the reader of a document. Raises BadRules with its place if there is none."""
    for reader in _READERS:
        own = (classes,) if reader is ingress else ()
        if reader.handles(document, *own):
            return reader
    raise document.at.error(
        f"{document.kind} of {document.api_version} is not a rule that meshproof "
        f"reads{nearest(document.kind, _KINDS)}"
    )


def _check_options(documents: Iterable[Document], rules: RuleSet) -> None:
    """Check that every option that an object sets for the judge holds for a route of the rules."""
    routes = [route for table in rules.tables for route in table.routes]
    held = {option.at for route in routes for option in route.options}
    for option in (one for document in documents for one in judge_options.read(document)):
        if option.at not in held:
            raise option.at.error(
                f"{option.name.replace('_', '-')} holds for no route of the rules"
            )


def _check_names(documents: Iterable[Document]) -> None:
    """Check what does not depend on the dialect: the outermost keys, the name."""
    named: dict[tuple[str, str, str, str], Document] = {}
    for document in documents:
        document.root.allow(*_OBJECT)
        document.metadata.allow(*_METADATA)
        name = (document.group, document.kind, document.namespace, document.name)
        twin = named.setdefault(name, document)
        if twin is not document:
            raise document.at.error(
                f"two objects of kind {document.kind} are named '{document.name}'; this one would "
                f"replace the one at {twin.at}"
            )
