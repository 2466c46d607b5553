"""Converts the rules of Istio 0.2 to 0.8 to today's rules with the same meaning.

RouteRule, DestinationPolicy, EgressRule and Ingress of Istio's class become VirtualService,
DestinationRule, ServiceEntry and Gateway of networking.istio.io/v1. Parts that these cannot express
are noted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from meshproof.base.errors import BadRules
from meshproof.convert import (
    comments,
    destination_policy,
    egress_rule,
    ingress,
    route_rule,
    unconverted,
)
from meshproof.convert.context import Context
from meshproof.convert.nodes import Node
from meshproof.convert.notes import Level, Note
from meshproof.convert.source import Source
from meshproof.convert.yaml_writer import write_documents
from meshproof.documents.manifest import Document

__all__ = ["Conversion", "Level", "Note", "convert"]

#: Metadata keys about the old object, which a new one must not have.
_DROPPED_METADATA = ("finalizers", "generateName", "ownerReferences")


@dataclass(frozen=True)
class Conversion:
    """The converted rules as YAML, with notes in the order of the source."""

    text: str
    notes: tuple[Note, ...]

    @property
    def is_complete(self) -> bool:
        """True if every part of the source is converted."""
        return all(note.level is not Level.ERROR for note in self.notes)


def convert(source: Source, old_defaults: bool = False) -> Conversion:
    """Convert the legacy rules of a source.

    `old_defaults` also writes out the timeout and the retries that the old mesh had by default.
    Raises BadRules for rules that cannot be read or converted.
    """
    context = Context(
        selectors=unconverted.read_selectors(source.unconverted), old_defaults=old_defaults
    )
    rules_by_host = route_rule.group_by_host(
        document for document in source.legacy if document.kind == "RouteRule"
    )
    documents_of_kind = {
        kind: [document for document in source.legacy if document.kind == kind]
        for kind in ("DestinationPolicy", "EgressRule", "Ingress")
    }
    for document in documents_of_kind["DestinationPolicy"]:
        destination_policy.convert(document, context)
    service_entries = [
        egress_rule.convert(document, context) for document in documents_of_kind["EgressRule"]
    ]
    routes = [route_rule.convert_rules(group, context) for group in rules_by_host.values()]
    ingress_context = ingress.IngressContext(
        rules_by_host, unconverted.read_named_ports(source.unconverted)
    )
    ingress_objects = [
        node
        for document in documents_of_kind["Ingress"]
        for node in ingress.convert(document, ingress_context, context)
    ]
    objects = [
        *service_entries,
        *context.destination_rules.build_objects(),
        *ingress_objects,
        *routes,
    ]
    _check_unique_names(objects)
    unconverted.note_clashes(objects, source.unconverted, context.notes)
    _note_dropped_metadata(source.legacy, context)
    objects_by_priority = [
        *routes,
        *service_entries,
        *ingress_objects,
        *context.destination_rules.build_objects(),
    ]
    comments.carry_comments(objects_by_priority, source.legacy, source.texts)
    return Conversion(write_documents(objects), tuple(sorted(set(context.notes.entries))))


def _check_unique_names(objects: Sequence[Node]) -> None:
    """Raise BadRules for two objects of the same name: one would replace the other."""
    keys: set[tuple[str, str, str]] = set()
    for node in objects:
        content = node.to_python()
        metadata = content["metadata"]
        key = content["kind"], metadata.get("namespace", "default"), metadata["name"]
        if key in keys:
            at = node.origins[0].at if node.origins else None
            message = (
                f"two objects would be {key[0]} {key[1]}/{key[2]}: convert the files one by one"
            )
            raise at.error(message) if at else BadRules(message)
        keys.add(key)


def _note_dropped_metadata(documents: Iterable[Document], context: Context) -> None:
    """Add a hint for each metadata key that is dropped."""
    for document in documents:
        for key in _DROPPED_METADATA:
            value = document.metadata.get(key)
            if value is not None:
                at = document.metadata.keys[key]
                context.notes.add_hint(at, f"metadata.{key} is about the old object: left out")
