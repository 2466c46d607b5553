"""Converts a DestinationPolicy to the traffic policy of a DestinationRule or of one of its subsets.

Source: routing/v1alpha1/destination_policy.proto of Istio 0.2 to 0.8 and Istio's page on
DestinationRule.
"""

from __future__ import annotations

from meshproof.convert.context import Context
from meshproof.convert.nodes import Node, copy_value, make_mapping, make_scalar
from meshproof.convert.services import read_service
from meshproof.convert.yaml_writer import iter_lines
from meshproof.documents.manifest import Document, Value

#: Old name of a load balancing algorithm -> today's name.
_BALANCERS = {"LEAST_CONN": "LEAST_REQUEST"}
#: Key of simpleCb -> where it stands in a traffic destination_rule.
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
    """Put a policy into the DestinationRule of its service.

    Raises BadRules with its place for values that a policy cannot have.
    """
    spec, notes = document.spec, context.notes
    destination = spec.need("destination")
    service = read_service(destination, document.namespace)
    destination_rule = context.destination_rules.get_or_add(service, document)
    destination_rule.documents.append(document)
    source = spec.get("source")
    traffic_policy = Node({}, (document.root,))
    traffic_policy.put(
        "loadBalancer", _convert_balancer(spec.get("loadBalancing"), traffic_policy, context)
    )
    _convert_breaker(spec.get("circuitBreaker"), traffic_policy, context)
    if source is not None:
        reason = "a DestinationRule is for all callers, and the policy was for some; it is left out"
        notes.add_unconverted(source, reason, destination_rule.root, spec.keys.get("source"))
        destination_rule.root.origins += (document.root,)
        destination_rule.root.comments_above += traffic_policy.comments_above
        destination_rule.root.comments_above += [
            f"  {line}" for line in iter_lines(Node(traffic_policy.content))
        ]
        return
    if not traffic_policy.content:
        destination_rule.root.comments_above += traffic_policy.comments_above
        destination_rule.root.origins += (document.root,)
        return
    labels = destination.get("labels")
    destination_rule.set_traffic_policy(traffic_policy, labels, document)
    if labels is not None and labels.mapping():
        notes.add_hint(
            labels.at, f"{labels.path}: holds where a rule sends to these labels, as it did before"
        )


def _convert_balancer(value: Value | None, traffic_policy: Node, context: Context) -> Node | None:
    """Return the load balancer settings."""
    if value is None:
        return None
    custom, name = value.get("custom"), value.get("name")
    if custom is not None:
        reason = "a DestinationRule has no custom balancing"
        context.notes.add_unconverted(custom, reason, traffic_policy, value.keys.get("custom"))
    if name is None:
        return None
    return make_mapping(value, simple=make_scalar(_BALANCERS.get(name.text(), name.text()), name))


def _convert_breaker(value: Value | None, traffic_policy: Node, context: Context) -> None:
    """Put the limits of a circuit breaker into the traffic policy."""
    if value is None:
        return
    custom, simple = value.get("custom"), value.get("simpleCb")
    if custom is not None:
        reason = "a DestinationRule has no custom breakers"
        context.notes.add_unconverted(custom, reason, traffic_policy, value.keys.get("custom"))
    for key, path in _KEYS.items():
        limit = simple.get(key) if simple is not None else None
        if limit is not None:
            _put_at_path(traffic_policy, path, copy_value(limit))


def _put_at_path(node: Node, path: tuple[str, ...], leaf: Node) -> None:
    """Put a value at a path, creating the mappings on the way."""
    for key in path[:-1]:
        content = node.content if isinstance(node.content, dict) else {}
        if key not in content:
            node.put(key, Node({}))
        node = content[key]
    node.put(path[-1], leaf)
