"""Converts RouteRules: one VirtualService for each destination; labels become subsets.

Source: routing/v1alpha1/route_rule.proto of Istio 0.2 to 0.8 and Istio's page on VirtualService.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from meshproof.convert import actions, match
from meshproof.convert.context import Context
from meshproof.convert.nodes import Node, copy_value, make_list, make_mapping, make_scalar
from meshproof.convert.notes import Notes
from meshproof.convert.objects import (
    build_metadata,
    complete_object,
    has_explicit_namespace,
    merge_judge_options,
    merge_metadata,
)
from meshproof.convert.services import Service, read_service
from meshproof.convert.yaml_writer import iter_lines
from meshproof.documents.manifest import Document, Value
from meshproof.rules.legacy.route_rule import read_precedence
from meshproof.rules.legacy.written import read_actions, refer_to_destination
from meshproof.rules.written import WrittenActions, WrittenDestination, WrittenSplit

#: A match without any condition.
_MATCH_OF_ALL: dict[str, object] = {"request": {"headers": {}}}


@dataclass(frozen=True)
class LegacyRule:
    """A RouteRule and the service that it routes."""

    document: Document
    service: Service

    @property
    def precedence(self) -> int:
        """The precedence, 0 by default; higher ones come first."""
        return read_precedence(self.document.spec)

    @cached_property
    def actions(self) -> WrittenActions:
        """What it does with a request."""
        namespace = self.document.namespace
        own_service = refer_to_destination(self.document, namespace)
        return read_actions(self.document.spec, own_service, namespace)

    @property
    def is_catch_all(self) -> bool:
        """True for a rule without a match, or whose match has no condition."""
        match_value = self.document.spec.get("match")
        return match_value is None or match_value.to_python() == _MATCH_OF_ALL


@dataclass(frozen=True)
class ConvertedRoute:
    """A route of a VirtualService; `is_complete` if its match has all conditions of the rule's."""

    node: Node
    rule: LegacyRule
    is_complete: bool


def group_by_host(documents: Iterable[Document]) -> dict[str, list[LegacyRule]]:
    """Return the rules by host, those of the highest precedence first.

    Among equals rules without a match come last: otherwise no request would reach the others.
    """
    rules_by_host: dict[str, list[LegacyRule]] = {}
    for document in documents:
        service = read_service(document.spec.need("destination"), document.namespace)
        rules_by_host.setdefault(service.host, []).append(LegacyRule(document, service))
    return {
        host: sorted(rules, key=lambda rule: (-rule.precedence, rule.is_catch_all))
        for host, rules in rules_by_host.items()
    }


def convert_rules(rules: list[LegacyRule], context: Context) -> Node:
    """Return the VirtualService for the rules of one service, in their order."""
    service = rules[0].service
    documents_in_namespace = [
        rule.document for rule in rules if rule.document.namespace == service.namespace
    ]
    home_document = (documents_in_namespace or [rules[0].document])[0]
    has_namespace = any(
        has_explicit_namespace(document) for document in documents_in_namespace or [home_document]
    )
    root = Node({}, (rules[0].document.root,) if len(rules) == 1 else ())
    routes: list[Node] = []
    for route in (convert_route(rule, home_document.namespace, context) for rule in rules):
        if route.is_complete:
            routes.append(route.node)
        else:
            _write_as_comment(route, root)
    _check_order(rules, routes, context.notes)
    if not any(rule.is_catch_all for rule in rules):
        routes.append(_build_default_route(service, home_document.namespace, context))
    metadata_node = build_metadata(service.name, home_document.namespace, has_namespace)
    _merge_metadata(rules, metadata_node, context.notes)
    destinations = [rule.document.spec.need("destination") for rule in rules]
    origins = [
        value
        for destination in destinations
        for value in (destination, *destination.mapping().values())
    ]
    spec = make_mapping(
        hosts=make_list(make_scalar(service.host_within(home_document.namespace), *origins)),
        http=make_list(*routes),
    )
    return complete_object(root, "VirtualService", metadata_node, spec)


def _merge_metadata(rules: list[LegacyRule], metadata_node: Node, notes: Notes) -> None:
    """Merge labels, annotations and judge options of the rules into the new object."""
    documents = [rule.document for rule in rules]
    for key in ("labels", "annotations"):
        merged, conflicts = merge_metadata(documents, key)
        metadata_node.put(key, merged)
        for value in conflicts:
            notes.add_unconverted(
                value, "another rule that becomes the same object has another value", metadata_node
            )
    merge_judge_options(documents, metadata_node, notes)


def _check_order(rules: list[LegacyRule], routes: list[Node], notes: Notes) -> None:
    """Note neighbours of equal precedence: Istio never specified which comes first."""
    node_of_value = {id(value): node for node in routes for value in node.origins}
    for first, second in pairwise(rules):
        if first.precedence != second.precedence:
            continue
        node = node_of_value.get(id(second.document.root))
        if node is not None:
            notes.add_doubt(
                second.document.at,
                f"'{second.document.name}' has the same precedence ({second.precedence}) as "
                f"'{first.document.name}' at {first.document.at}: their order was not specified",
                node,
            )


def _write_as_comment(route: ConvertedRoute, root: Node) -> None:
    """Write a route as a comment: without part of its match it would take too many requests."""
    name = route.rule.document.name
    root.origins += (route.rule.document.root,)
    root.comments_above += route.node.comments_above
    root.comments_above.append(
        f"'{name}' is left out: it would take more requests than the rule. The rest:"
    )
    root.comments_above += [f"  {line}" for line in iter_lines(Node(route.node.content))]


def _build_default_route(service: Service, namespace: str, context: Context) -> Node:
    """Return the route for requests that no rule matches: to every version."""
    host = make_scalar(service.host_within(namespace))
    route = make_mapping(route=make_list(make_mapping(destination=make_mapping(host=host))))
    actions.put_old_defaults(route, context.old_defaults)
    route.comments_above.append("What no RouteRule matches goes to every version.")
    return route


def convert_route(rule: LegacyRule, namespace: str, context: Context) -> ConvertedRoute:
    """Return the route for a rule, as a VirtualService in `namespace` writes it."""
    document, notes = rule.document, context.notes
    spec = document.spec
    node = Node(
        {"name": make_scalar(document.name, document.metadata.need("name"))}, (document.root,)
    )
    match_value = spec.get("match")
    is_complete = True
    if match_value is not None:
        conditions = match.convert_match(match_value, document, context.selectors, notes, node)
        is_complete = conditions.is_complete
        if conditions.node.content:
            node.put("match", Node([conditions.node], (match_value,)))
    written = rule.actions
    if written.redirect is not None:
        node.put("redirect", actions.convert_redirect(written.redirect))
    else:
        node.put("rewrite", copy_value(written.rewrite.value) if written.rewrite else None)
        node.put("route", _convert_split(rule, written.split, namespace, context))
    actions.put_policies(spec, written, node, notes)
    for mirror in written.mirrors:
        destination = _convert_destination(mirror.target, rule, namespace, context)
        destination.origins = (mirror.value,)
        node.put("mirror", destination)
    actions.put_old_defaults(node, context.old_defaults and written.redirect is None)
    return ConvertedRoute(node, rule, is_complete)


def _convert_split(
    rule: LegacyRule, split: WrittenSplit | None, namespace: str, context: Context
) -> Node:
    """Return the weighted destinations; without `route` all requests go to the rule's service."""
    if split is None:
        host = make_scalar(rule.service.host_within(namespace))
        return make_list(make_mapping(destination=make_mapping(host=host)))
    _check_weights(split)
    converted, is_single = [], len(split.entries) == 1
    for entry in split.entries:
        weight = entry.weight
        destination = _convert_destination(entry.destination, rule, namespace, context)
        node = make_mapping(
            entry.value, destination=destination, weight=_convert_weight(weight, is_single)
        )
        converted.append(node)
        if is_single and weight is not None and weight.content != 100:
            context.notes.add_hint(
                weight.at, f"{weight.path}: the weight of a single entry counts as 100"
            )
    return Node(list(converted), (split.value,))


def _convert_weight(weight: Value | None, is_single: bool) -> Node | None:
    """Return the weight, None for a single entry whose weight does not count."""
    if weight is None or (is_single and weight.content != 100):
        return None
    return make_scalar(weight.integer(0, 100), weight)


def _check_weights(split: WrittenSplit) -> None:
    """Raise BadRules for several weights that do not sum to 100."""
    weights = [entry.weight for entry in split.entries]
    total = sum(weight.integer(0, 100) for weight in weights if weight) if len(weights) > 1 else 100
    if total != 100:
        raise split.value.at.error(f"weights must sum to 100, found {total}", path=split.path)


def _convert_destination(
    destination: WrittenDestination | None, rule: LegacyRule, namespace: str, context: Context
) -> Node:
    """Return a destination: the service that it names (else the rule's) and its subset."""
    value = destination.value if destination is not None else None
    labels = destination.labels_value if destination is not None else None
    service = read_service(value, rule.document.namespace) if value is not None else rule.service
    host_origins = [value, *value.mapping().values()] if value is not None else []
    return make_mapping(
        host=make_scalar(service.host_within(namespace), *host_origins),
        subset=context.destination_rules.add_subset(service, labels, rule.document),
    )
