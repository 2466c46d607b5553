"""Names of services, old and new: who is meant, and how it is written in the output.

The rules of a service and its subsets go into objects named after it, in its own namespace: there
every client finds them (Istio's page on DestinationRule: the client's namespace, then that of the
service).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from meshproof.base.names import CLUSTER_DOMAIN, Labels, full_name, labels
from meshproof.convert.nodes import Node, copy_value, make_list, make_mapping, make_scalar
from meshproof.convert.notes import Notes
from meshproof.documents.manifest import Document, Value
from meshproof.rules.judge_options import ANNOTATION_PREFIX

API_VERSION = "networking.istio.io/v1"
#: RFC 1123 labels: names of subsets (Istio's validation) and parts of host names.
_LABEL_PATTERN = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
#: What kubectl keeps for itself.
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True)
class Service:
    """A service that a rule names: its full host, its namespace where it is one of the cluster."""

    host: str
    namespace: str = ""

    @property
    def name(self) -> str:
        """A name for the objects about it: the service's own, or its host made to fit one."""
        if self.namespace:
            return self.host.partition(".")[0]
        return re.sub(r"[^a-z0-9.]+", "-", self.host.replace("*", "all").lower()).strip("-.")

    def host_within(self, namespace: str) -> str:
        """Return the host as an object in `namespace` writes it: short where it is at home."""
        at_home = self.namespace == namespace and self.namespace
        return self.name if at_home else self.host


def read_service(value: Value, namespace: str) -> Service:
    """Return the service that an IstioService of a rule in `namespace` names.

    Source: IstioService in routing/v1alpha1/route_rule.proto. Raises BadRules for none, and for an
    empty name.
    """
    full_value, namespace_value, domain_value = (
        value.get(key) for key in ("service", "namespace", "domain")
    )
    for part in (full_value, namespace_value, domain_value, value.get("name")):
        if part is not None:
            part.non_empty_text()
    if full_value is not None:
        return build_service(full_name(full_value.text(), namespace))
    name = value.need("name").text()
    service_namespace = namespace_value.text() if namespace_value else namespace
    return build_service(
        f"{name}.{service_namespace}.{domain_value.text() if domain_value else CLUSTER_DOMAIN}"
    )


def build_service(host: str) -> Service:
    """Return the service of a full host name."""
    parts = host.removesuffix(f".{CLUSTER_DOMAIN}").split(".")
    is_in_cluster = host.endswith(f".{CLUSTER_DOMAIN}") and len(parts) == 2
    return Service(host, parts[1] if is_in_cluster else "")


def build_subset_name(labels: Labels) -> str:
    """Return the name of the subset with these labels: the version where that is all it has.

    Else the labels' values and a digest, which is the same in every run.
    """
    if len(labels) == 1 and labels[0][0] == "version" and _LABEL_PATTERN.fullmatch(labels[0][1]):
        return labels[0][1]
    text = ",".join(f"{key}={value}" for key, value in labels)
    values = "-".join(value for _, value in labels).lower()
    slug = re.sub(r"[^a-z0-9]+", "-", values)[:40].strip("-")
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{slug}-{digest}" if slug else f"subset-{digest}"


def has_explicit_namespace(document: Document) -> bool:
    """Say whether an object names its namespace; one that does not goes where it is applied."""
    return document.metadata.get("namespace") is not None


def build_metadata(name: str, namespace: str, has_namespace: bool) -> Node:
    """Return the metadata of an object; `default` is written only where the source wrote it."""
    entries = {"name": make_scalar(name)}
    if has_namespace or namespace != "default":
        entries["namespace"] = make_scalar(namespace)
    return Node(entries)


def complete_object(root: Node, kind: str, metadata_node: Node, spec: Node) -> Node:
    """Return the object `root` with the keys that every object has; what it had said stays."""
    root.content = {
        "apiVersion": make_scalar(API_VERSION),
        "kind": make_scalar(kind),
        "metadata": metadata_node,
        "spec": spec,
    }
    return root


def merge_metadata(documents: Iterable[Document], key: str) -> tuple[Node | None, list[Value]]:
    """Return the labels or annotations of objects that become one, and those in conflict.

    Options of the judge are left out: see `carry_options`.
    """
    entries: dict[str, Node] = {}
    origins: list[Value] = []
    conflicts: list[Value] = []
    for document in documents:
        mapping_value = document.metadata.get(key)
        if mapping_value is None:
            continue
        origins.append(mapping_value)
        for name, value in mapping_value.mapping().items():
            if name == LAST_APPLIED or name.startswith(ANNOTATION_PREFIX):
                continue
            first = entries.setdefault(name, copy_value(value))
            if first.content != value.content:
                conflicts.append(value)
    return (Node(dict(entries), tuple(origins)) if entries else None), conflicts


def merge_judge_options(documents: Iterable[Document], metadata_node: Node, notes: Notes) -> None:
    """Let a rule have the options of the judge that all rules which become it have in common.

    Another would hold for the routes of those that do not set it, too.
    """
    options = [_read_judge_options(document) for document in documents]
    content = metadata_node.content if isinstance(metadata_node.content, dict) else {}
    annotations = content.get("annotations") or Node({})
    for key in dict.fromkeys(key for document_options in options for key in document_options):
        values = [document_options[key] for document_options in options if key in document_options]
        if len(values) == len(options) and len({value.text() for value in values}) == 1:
            annotations.put(key, copy_value(values[0]))
            continue
        for value in values:
            notes.add_unconverted(
                value, "not every rule that becomes the same object sets it alike", metadata_node
            )
    metadata_node.put("annotations", annotations if annotations.content else None)


def _read_judge_options(document: Document) -> dict[str, Value]:
    annotations = document.metadata.get("annotations")
    return (
        {
            key: value
            for key, value in annotations.mapping().items()
            if key.startswith(ANNOTATION_PREFIX)
        }
        if annotations
        else {}
    )


@dataclass
class DestinationRules:
    """The DestinationRules that follow from all rules: one for each service with subsets."""

    _by_host: dict[str, DestinationRule] = field(default_factory=dict)

    def get_or_add(self, service: Service, document: Document) -> DestinationRule:
        """Return the DestinationRule of a service; `document` is a rule that needs it."""
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
        """Return the name of the subset with the labels that `value` holds, None without any."""
        if value is None or not value.mapping():
            return None
        self.get_or_add(service, document).add_subset(value)
        name = build_subset_name(labels(value.text_mapping()))
        return make_scalar(name, value, *value.mapping().values())

    def build_objects(self) -> list[Node]:
        """Return the DestinationRules, in the order in which they were first needed."""
        return [destination_rule.build_object() for destination_rule in self._by_host.values()]


class DestinationRule:
    """A DestinationRule in the making."""

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
        """Return the subset with the labels that `value` holds."""
        subset_labels = labels(value.text_mapping())
        if subset_labels not in self._subsets:
            entry = Node(
                {"name": make_scalar(build_subset_name(subset_labels)), "labels": copy_value(value)}
            )
            self._subsets[subset_labels] = entry
        return self._subsets[subset_labels]

    def set_traffic_policy(self, policy: Node, value: Value | None, document: Document) -> None:
        """Set the traffic policy of the service, or of the subset with the labels in `value`.

        Raises BadRules for a second one, of another `document`: which holds is not specified.
        """
        subset_labels = labels(value.text_mapping()) if value is not None else ()
        first = self._policy_documents.setdefault(subset_labels, document)
        if first is not document:
            raise document.at.error(
                f"a second policy for what the one at {first.at} is for; which holds is not "
                "specified"
            )
        if value is None or not subset_labels:
            self._traffic_policy = policy
        else:
            self.add_subset(value).put("trafficPolicy", policy)

    def add_port_settings(self, settings: Node) -> None:
        """Add settings of one port to the traffic policy of the service."""
        self._ports.append(settings)

    def build_object(self) -> Node:
        """Return the DestinationRule."""
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
