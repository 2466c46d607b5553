"""Collects the DestinationRules that a conversion needs: subsets, traffic policies, port settings.

The DestinationRule of a service has its name and namespace: there every client finds it (Istio's
page on DestinationRule: the client's namespace, then that of the service).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from meshproof.base.names import Labels, format_labels, sort_labels
from meshproof.convert.nodes import Node, copy_value, make_list, make_mapping, make_scalar
from meshproof.convert.objects import (
    build_metadata,
    complete_object,
    has_explicit_namespace,
    merge_metadata,
)
from meshproof.convert.services import Service
from meshproof.documents.manifest import Document, Value

#: RFC 1123 labels: names of subsets (Istio's validation).
_LABEL_PATTERN = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")


def build_subset_name(labels: Labels) -> str:
    """Return the name of the subset with these labels: the version if that is the only label.

    Otherwise the label values and a digest, which is the same in every run.
    """
    if len(labels) == 1 and labels[0][0] == "version" and _LABEL_PATTERN.fullmatch(labels[0][1]):
        return labels[0][1]
    text = format_labels(labels)
    values = "-".join(value for _, value in labels).lower()
    slug = re.sub(r"[^a-z0-9]+", "-", values)[:40].strip("-")
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{slug}-{digest}" if slug else f"subset-{digest}"


@dataclass
class DestinationRules:
    """The DestinationRules of a conversion: one for each service that needs one."""

    _by_host: dict[str, DestinationRule] = field(default_factory=dict)

    def get_or_add(self, service: Service, document: Document) -> DestinationRule:
        """Return the DestinationRule of a service; `document` is the rule that needs it."""
        has_namespace = has_explicit_namespace(document)
        if service.host not in self._by_host:
            namespace = service.namespace or document.namespace
            self._by_host[service.host] = DestinationRule(service, namespace)
        destination_rule = self._by_host[service.host]
        destination_rule.has_namespace |= (
            has_namespace and destination_rule.namespace == document.namespace
        )
        return destination_rule

    def add_subset(self, service: Service, value: Value | None, document: Document) -> Node | None:
        """Add the subset with the labels in `value`; return its name, None without labels."""
        if value is None or not value.mapping():
            return None
        self.get_or_add(service, document).add_subset(value)
        name = build_subset_name(sort_labels(value.text_mapping()))
        return make_scalar(name, value, *value.mapping().values())

    def build_objects(self) -> list[Node]:
        """Return the DestinationRules, in the order in which they were first needed."""
        return [destination_rule.build_object() for destination_rule in self._by_host.values()]


class DestinationRule:
    """A DestinationRule that is being built."""

    def __init__(self, service: Service, namespace: str) -> None:
        self.service = service
        self.namespace = namespace
        self.has_namespace = False
        self.root = Node({})
        self.documents: list[Document] = []
        self._traffic_policy: Node | None = None
        self._ports: list[Node] = []
        self._policy_documents: dict[Labels, Document] = {}
        self._subsets: dict[Labels, Node] = {}

    def add_subset(self, value: Value) -> Node:
        """Add the subset with the labels in `value`, or return it if it exists."""
        subset_labels = sort_labels(value.text_mapping())
        if subset_labels not in self._subsets:
            entry = Node(
                {"name": make_scalar(build_subset_name(subset_labels)), "labels": copy_value(value)}
            )
            self._subsets[subset_labels] = entry
        return self._subsets[subset_labels]

    def set_traffic_policy(self, policy: Node, value: Value | None, document: Document) -> None:
        """Set the traffic policy of the service, or of the subset with the labels in `value`.

        Raises BadRules for a policy of a second `document`: which one applies is not specified.
        """
        subset_labels = sort_labels(value.text_mapping()) if value is not None else ()
        first_document = self._policy_documents.setdefault(subset_labels, document)
        if first_document is not document:
            raise document.at.error(
                f"a second policy for what the one at {first_document.at} is for; which holds is "
                "not specified"
            )
        if value is None or not subset_labels:
            self._traffic_policy = policy
        else:
            self.add_subset(value).put("trafficPolicy", policy)

    def add_port_settings(self, settings: Node) -> None:
        """Add the settings of one port to the traffic policy of the service."""
        self._ports.append(settings)

    def build_object(self) -> Node:
        """Return the finished DestinationRule."""
        if self._ports:
            self._traffic_policy = self._traffic_policy or Node({})
            self._traffic_policy.put("portLevelSettings", make_list(*self._ports))
        spec = make_mapping(
            host=make_scalar(self.service.host_within(self.namespace)),
            trafficPolicy=self._traffic_policy,
            subsets=make_list(*self._subsets.values()) if self._subsets else None,
        )
        metadata_node = build_metadata(self.service.name, self.namespace, self.has_namespace)
        for key in ("labels", "annotations"):
            merged, _ = merge_metadata(self.documents, key)
            metadata_node.put(key, merged)
        return complete_object(self.root, "DestinationRule", metadata_node, spec)
