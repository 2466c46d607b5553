"""RouteRule -> VirtualService, one for each destination; labels become subsets.

Source: routing/v1alpha1/route_rule.proto of Istio 0.2 to 0.8 and Istio's page on VirtualService.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from meshproof.base.names import Labels
from meshproof.convert import actions, match
from meshproof.convert.nodes import Node, listed, mapping, scalar
from meshproof.convert.notes import Notes
from meshproof.convert.services import (
    Policies,
    Service,
    carried,
    carry_options,
    completed,
    is_explicit,
    metadata,
    named,
)
from meshproof.convert.writing import lines
from meshproof.documents.manifest import Document, Value


@dataclass
class Context:
    """What a conversion shares: DestinationRules, notes, selectors of known Services by host."""

    policies: Policies = field(default_factory=Policies)
    notes: Notes = field(default_factory=Notes)
    selectors: Mapping[str, Labels] = field(default_factory=dict)
    old_defaults: bool = False


@dataclass(frozen=True)
class Rule:
    """A RouteRule and the service that it is about."""

    document: Document
    service: Service

    @property
    def precedence(self) -> int:
        """The higher comes first; 0 where nothing is written."""
        found = self.document.spec.get("precedence")
        return found.integer(-(2**31), 2**31 - 1) if found else 0

    @property
    def takes_all(self) -> bool:
        """True without a match."""
        return self.document.spec.get("match") is None


@dataclass(frozen=True)
class Route:
    """A route of a VirtualService, and whether it says all that its rule's match says."""

    node: Node
    rule: Rule
    whole: bool


def grouped(documents: Iterable[Document]) -> dict[str, list[Rule]]:
    """Return the rules by host, those of the highest precedence first.

    Among equals those without a match come last: any other order would leave nothing for the rest.
    """
    found: dict[str, list[Rule]] = {}
    for document in documents:
        service = named(document.spec.need("destination"), document.namespace)
        found.setdefault(service.host, []).append(Rule(document, service))
    return {
        host: sorted(rules, key=lambda rule: (-rule.precedence, rule.takes_all))
        for host, rules in found.items()
    }


def virtual_service(rules: list[Rule], context: Context) -> Node:
    """Return the VirtualService that says what the rules of one service say, in their order."""
    service = rules[0].service
    at_home = [one.document for one in rules if one.document.namespace == service.namespace]
    home = (at_home or [rules[0].document])[0]
    explicit = any(is_explicit(one) for one in at_home or [home])
    root = Node({}, (rules[0].document.root,) if len(rules) == 1 else ())
    routes: list[Node] = []
    for route in (route_of(rule, home.namespace, context) for rule in rules):
        if route.whole:
            routes.append(route.node)
        else:
            _leave_out(route, root)
    _check_order(rules, routes, context.notes)
    if not any(rule.takes_all for rule in rules):
        routes.append(_default(service, home.namespace, context))
    head = metadata(service.name, home.namespace, explicit)
    _carry_metadata(rules, head, context.notes)
    destinations = [rule.document.spec.need("destination") for rule in rules]
    origins = [one for each in destinations for one in (each, *each.mapping().values())]
    spec = mapping(
        hosts=listed(scalar(service.written(home.namespace), *origins)), http=listed(*routes)
    )
    return completed(root, "VirtualService", head, spec)


def _carry_metadata(rules: list[Rule], head: Node, notes: Notes) -> None:
    documents = [rule.document for rule in rules]
    for key in ("labels", "annotations"):
        kept, conflicts = carried(documents, key)
        head.put(key, kept)
        for value in conflicts:
            notes.lost(value, "another rule that becomes the same object has another value", head)
    carry_options(documents, head, notes)


def _check_order(rules: list[Rule], routes: list[Node], notes: Notes) -> None:
    """Name neighbours of equal precedence: Istio never said which of them comes first."""
    said = {id(one): node for node in routes for one in node.origins}
    for first, second in pairwise(rules):
        if first.precedence != second.precedence:
            continue
        node = said.get(id(second.document.root))
        if node is not None:
            notes.doubt(
                second.document.at,
                f"'{second.document.name}' has the same precedence ({second.precedence}) as "
                f"'{first.document.name}' at {first.document.at}: their order was not specified",
                node,
            )


def _leave_out(route: Route, root: Node) -> None:
    """Write a route as a comment: without a condition of its match it would take too much."""
    name = route.rule.document.name
    root.origins += (route.rule.document.root,)
    root.above += route.node.above
    root.above.append(f"'{name}' is left out: it would take more requests than the rule. The rest:")
    root.above += [f"  {line}" for line in lines(Node(route.node.content))]


def _default(service: Service, namespace: str, context: Context) -> Node:
    host = scalar(service.written(namespace))
    route = mapping(route=listed(mapping(destination=mapping(host=host))))
    actions.put_old_defaults(route, context.old_defaults)
    route.above.append("What no RouteRule matches goes to every version.")
    return route


def route_of(rule: Rule, namespace: str, context: Context) -> Route:
    """Return the route of a VirtualService in `namespace` that says what a rule says."""
    document, notes = rule.document, context.notes
    spec = document.spec
    node = Node({"name": scalar(document.name, document.metadata.need("name"))}, (document.root,))
    found = spec.get("match")
    whole = True
    if found is not None:
        conditions = match.converted(found, document, context.selectors, notes, node)
        whole = conditions.whole
        if conditions.node.content:
            node.put("match", Node([conditions.node], (found,)))
    for key in ("redirect", "rewrite"):
        node.put(key, getattr(actions, key)(spec.get(key)))
    if spec.get("redirect") is None:
        node.put("route", _route(rule, namespace, context))
    actions.put_rest(spec, node, notes)
    mirrored = spec.get("mirror")
    if mirrored is not None:
        node.put("mirror", _destination(mirrored, None, rule, namespace, context, mirrored))
    actions.put_old_defaults(node, context.old_defaults and spec.get("redirect") is None)
    return Route(node, rule, whole)


def _route(rule: Rule, namespace: str, context: Context) -> Node:
    """Return the split; without `route` all requests go to the destination."""
    split = rule.document.spec.get("route")
    if split is None:
        host = scalar(rule.service.written(namespace))
        return listed(mapping(destination=mapping(host=host)))
    entries = split.items()
    _check_weights(split, entries)
    found = []
    for entry in entries:
        other, weight = entry.get("destination"), entry.get("weight")
        destination = _destination(other, entry.get("labels"), rule, namespace, context)
        alone = len(entries) == 1
        found.append(mapping(entry, destination=destination, weight=_weight(weight, alone)))
        if alone and weight is not None and weight.content != 100:
            context.notes.known(
                weight.at, f"{weight.path}: the weight of a single entry counts as 100"
            )
    return Node(list(found), (split,))


def _weight(weight: Value | None, alone: bool) -> Node | None:
    if weight is None or (alone and weight.content != 100):
        return None
    return scalar(weight.integer(0, 100), weight)


def _check_weights(split: Value, entries: list[Value]) -> None:
    weights = [entry.get("weight") for entry in entries]
    if len(entries) > 1 and (total := sum(one.integer(0, 100) for one in weights if one)) != 100:
        raise split.at.error(f"{split.path}: weights must sum to 100, found {total}")


def _destination(
    value: Value | None,
    of: Value | None,
    rule: Rule,
    namespace: str,
    context: Context,
    *origins: Value,
) -> Node:
    """Return a destination: the service that `value` names (else the rule's) and its subset.

    The labels of the subset are those in `of`, else those beside the service's name.
    """
    service = named(value, rule.document.namespace) if value is not None else rule.service
    beside = value.get("labels") if value is not None else None
    wanted = of if of is not None else beside
    said = [value, *value.mapping().values()] if value is not None else []
    return mapping(
        *origins,
        host=scalar(service.written(namespace), *said),
        subset=context.policies.subset(service, wanted, rule.document),
    )
