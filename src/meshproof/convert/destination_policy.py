"""DestinationPolicy -> the traffic policy of a DestinationRule, of the whole service or a subset.

Source: routing/v1alpha1/destination_policy.proto of Istio 0.2 to 0.8 and Istio's page on
DestinationRule.
"""

from __future__ import annotations

from meshproof.convert.nodes import Node, copied, mapping, scalar
from meshproof.convert.route_rule import Context
from meshproof.convert.services import named
from meshproof.convert.writing import lines
from meshproof.documents.manifest import Document, Value
from meshproof.rules.legacy import destination_policy

#: The same algorithm has another name today.
_BALANCERS = {"LEAST_CONN": "LEAST_REQUEST"}
#: Key of simpleCb -> where it stands in a traffic policy.
_KEYS = {
    "maxConnections": ("connectionPool", "tcp", "maxConnections"),
    "httpMaxPendingRequests": ("connectionPool", "http", "http1MaxPendingRequests"),
    "httpMaxRequests": ("connectionPool", "http", "http2MaxRequests"),
    "httpMaxRequestsPerConnection": ("connectionPool", "http", "maxRequestsPerConnection"),
    "httpMaxRetries": ("connectionPool", "http", "maxRetries"),
    "httpConsecutiveErrors": ("outlierDetection", "consecutive5xxErrors"),
    "httpDetectionInterval": ("outlierDetection", "interval"),
    "sleepWindow": ("outlierDetection", "baseEjectionTime"),
    "httpMaxEjectionPercent": ("outlierDetection", "maxEjectionPercent"),
}


def convert(document: Document, context: Context) -> None:
    """Put what a policy says into the DestinationRule of its service.

    Raises BadRules with its place for what a policy cannot say.
    """
    destination_policy.check(document)
    spec, notes = document.spec, context.notes
    destination = spec.need("destination")
    service = named(destination, document.namespace)
    policy = context.policies.of(service, document)
    policy.documents.append(document)
    source = spec.get("source")
    made = Node({}, (document.root,))
    made.put("loadBalancer", _balancer(spec.get("loadBalancing"), made, context))
    _breaker(spec.get("circuitBreaker"), made, context)
    if source is not None:
        why = "a DestinationRule is for all callers, and the policy was for some; it is left out"
        notes.lost(source, why, policy.root, spec.keys.get("source"))
        policy.root.origins += (document.root,)
        policy.root.above += made.above
        policy.root.above += [f"  {line}" for line in lines(Node(made.content))]
        return
    if not made.content:
        policy.root.above += made.above
        policy.root.origins += (document.root,)
        return
    labels = destination.get("labels")
    policy.put(made, labels, document)
    if labels is not None and labels.mapping():
        notes.known(
            labels.at, f"{labels.path}: holds where a rule sends to these labels, as it did before"
        )


def _balancer(value: Value | None, made: Node, context: Context) -> Node | None:
    if value is None:
        return None
    custom, name = value.get("custom"), value.get("name")
    if custom is not None:
        why = "a DestinationRule has no custom balancing"
        context.notes.lost(custom, why, made, value.keys.get("custom"))
    if name is None:
        return None
    return mapping(value, simple=scalar(_BALANCERS.get(name.text(), name.text()), name))


def _breaker(value: Value | None, made: Node, context: Context) -> None:
    if value is None:
        return
    custom, simple = value.get("custom"), value.get("simpleCb")
    if custom is not None:
        why = "a DestinationRule has no custom breakers"
        context.notes.lost(custom, why, made, value.keys.get("custom"))
    for key, path in _KEYS.items():
        found = simple.get(key) if simple is not None else None
        if found is not None:
            _plant(made, path, copied(found))


def _plant(node: Node, path: tuple[str, ...], found: Node) -> None:
    """Put a value at a path, making the mappings on the way."""
    for key in path[:-1]:
        content = node.content if isinstance(node.content, dict) else {}
        if key not in content:
            node.put(key, Node({}))
        node = content[key]
    node.put(path[-1], found)
