"""From the rules of Istio 0.2 to 0.8 to those of today, which say the same.

RouteRule, DestinationPolicy, EgressRule and Ingress of Istio's class become VirtualService,
DestinationRule, ServiceEntry and Gateway of networking.istio.io/v1. What they cannot say is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from meshproof.base.errors import BadRules
from meshproof.convert import beside, comments, destination_policy, egress_rule, ingress, route_rule
from meshproof.convert.nodes import Node
from meshproof.convert.notes import Level, Note
from meshproof.convert.reading import Source
from meshproof.convert.route_rule import Context
from meshproof.convert.writing import written
from meshproof.documents.manifest import Document

__all__ = ["Conversion", "Level", "Note", "convert"]

#: Keys of metadata that no object of today has any use for.
_OF_THE_OBJECT = ("finalizers", "generateName", "ownerReferences")


@dataclass(frozen=True)
class Conversion:
    """The converted rules as YAML, and what is to be said of them, in order of place."""

    text: str
    notes: tuple[Note, ...]

    @property
    def whole(self) -> bool:
        """True when the output says all that the source says."""
        return all(one.level is not Level.ERROR for one in self.notes)


def convert(source: Source, old_defaults: bool = False) -> Conversion:
    """Return what the legacy rules of a source say, in the words of today.

    `old_defaults` also writes out the timeout and the retries that the old mesh had by itself.
    Raises BadRules for what cannot be read, and when there is nothing to convert.
    """
    context = Context(selectors=beside.selectors(source.others), old_defaults=old_defaults)
    rules = route_rule.grouped(one for one in source.legacy if one.kind == "RouteRule")
    of_kind = {
        kind: [one for one in source.legacy if one.kind == kind]
        for kind in ("DestinationPolicy", "EgressRule", "Ingress")
    }
    for document in of_kind["DestinationPolicy"]:
        destination_policy.convert(document, context)
    entries = [egress_rule.convert(one, context) for one in of_kind["EgressRule"]]
    routes = [route_rule.virtual_service(group, context) for group in rules.values()]
    around = ingress.Around(rules, beside.ports(source.others))
    entrances = [
        node for one in of_kind["Ingress"] for node in ingress.convert(one, around, context)
    ]
    objects = [*entries, *context.policies.objects(), *entrances, *routes]
    _check_names(objects)
    beside.check(objects, source.others, context.notes)
    _note_metadata(source.legacy, context)
    by_claim = [*routes, *entries, *entrances, *context.policies.objects()]
    comments.carry(by_claim, source.legacy, source.texts)
    return Conversion(written(objects), tuple(sorted(set(context.notes.found))))


def _check_names(objects: Sequence[Node]) -> None:
    """Raise BadRules for two objects of one name: one would replace the other."""
    seen: set[tuple[str, str, str]] = set()
    for node in objects:
        plain = node.plain()
        head = plain["metadata"]
        key = plain["kind"], head.get("namespace", "default"), head["name"]
        if key in seen:
            place = node.origins[0].at if node.origins else None
            said = f"two objects would be {key[0]} {key[1]}/{key[2]}: convert the files one by one"
            raise place.error(said) if place else BadRules(said)
        seen.add(key)


def _note_metadata(documents: Iterable[Document], context: Context) -> None:
    for document in documents:
        for key in _OF_THE_OBJECT:
            value = document.metadata.get(key)
            if value is not None:
                at = document.metadata.keys[key]
                context.notes.known(at, f"metadata.{key} is about the old object: left out")
