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
from meshproof.convert.nodes import Node, copied, listed, mapping, scalar
from meshproof.convert.notes import Notes
from meshproof.documents.manifest import Document, Value
from meshproof.rules.judge_options import PREFIX

API_VERSION = "networking.istio.io/v1"
#: RFC 1123 labels: names of subsets (Istio's validation) and parts of host names.
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
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

    def written(self, namespace: str) -> str:
        """Return the host as an object in `namespace` writes it: short where it is at home."""
        at_home = self.namespace == namespace and self.namespace
        return self.name if at_home else self.host


def named(value: Value, namespace: str) -> Service:
    """Return the service that an IstioService of a rule in `namespace` names.

    Source: IstioService in routing/v1alpha1/route_rule.proto. Raises BadRules for none, and for an
    empty name.
    """
    whole, owner, domain = (value.get(key) for key in ("service", "namespace", "domain"))
    for one in (whole, owner, domain, value.get("name")):
        if one is not None:
            one.filled()
    if whole is not None:
        return of_host(full_name(whole.text(), namespace))
    name = value.need("name").text()
    place = owner.text() if owner else namespace
    return of_host(f"{name}.{place}.{domain.text() if domain else CLUSTER_DOMAIN}")


def of_host(host: str) -> Service:
    """Return the service of a full host name."""
    parts = host.removesuffix(f".{CLUSTER_DOMAIN}").split(".")
    inside = host.endswith(f".{CLUSTER_DOMAIN}") and len(parts) == 2
    return Service(host, parts[1] if inside else "")


def subset_name(of: Labels) -> str:
    """Return the name of the subset with these labels: the version where that is all it has.

    Else the labels' values and a digest, which is the same in every run.
    """
    if len(of) == 1 and of[0][0] == "version" and _LABEL.fullmatch(of[0][1]):
        return of[0][1]
    text = ",".join(f"{key}={value}" for key, value in of)
    words = "-".join(value for _, value in of).lower()
    slug = re.sub(r"[^a-z0-9]+", "-", words)[:40].strip("-")
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{slug}-{digest}" if slug else f"subset-{digest}"


def is_explicit(document: Document) -> bool:
    """Say whether an object names its namespace; one that does not goes where it is applied."""
    return document.metadata.get("namespace") is not None


def metadata(name: str, namespace: str, explicit: bool) -> Node:
    """Return the metadata of an object; `default` is written only where the source wrote it."""
    entries = {"name": scalar(name)}
    if explicit or namespace != "default":
        entries["namespace"] = scalar(namespace)
    return Node(entries)


def completed(root: Node, kind: str, head: Node, spec: Node) -> Node:
    """Return the object `root` with the keys that every object has; what it had said stays."""
    root.content = {
        "apiVersion": scalar(API_VERSION),
        "kind": scalar(kind),
        "metadata": head,
        "spec": spec,
    }
    return root


def carried(documents: Iterable[Document], key: str) -> tuple[Node | None, list[Value]]:
    """Return the labels or annotations of objects that become one, and those in conflict.

    Options of the judge are left out: see `carry_options`.
    """
    entries: dict[str, Node] = {}
    origins: list[Value] = []
    conflicts: list[Value] = []
    for document in documents:
        found = document.metadata.get(key)
        if found is None:
            continue
        origins.append(found)
        for name, value in found.mapping().items():
            if name == LAST_APPLIED or name.startswith(PREFIX):
                continue
            kept = entries.setdefault(name, copied(value))
            if kept.content != value.content:
                conflicts.append(value)
    return (Node(dict(entries), tuple(origins)) if entries else None), conflicts


def carry_options(documents: Iterable[Document], head: Node, notes: Notes) -> None:
    """Let a rule have the options of the judge that all rules which become it have in common.

    Another would hold for the routes of those that do not set it, too.
    """
    options = [_options(document) for document in documents]
    content = head.content if isinstance(head.content, dict) else {}
    annotations = content.get("annotations") or Node({})
    for key in dict.fromkeys(key for one in options for key in one):
        values = [one[key] for one in options if key in one]
        if len(values) == len(options) and len({value.text() for value in values}) == 1:
            annotations.put(key, copied(values[0]))
            continue
        for value in values:
            notes.lost(value, "not every rule that becomes the same object sets it alike", head)
    head.put("annotations", annotations if annotations.content else None)


def _options(document: Document) -> dict[str, Value]:
    found = document.metadata.get("annotations")
    return (
        {key: it for key, it in found.mapping().items() if key.startswith(PREFIX)} if found else {}
    )


@dataclass
class Policies:
    """The DestinationRules that follow from all rules: one for each service with subsets."""

    _found: dict[str, Policy] = field(default_factory=dict)

    def of(self, service: Service, document: Document) -> Policy:
        """Return the DestinationRule of a service; `document` is a rule that needs it."""
        explicit = is_explicit(document)
        if service.host not in self._found:
            namespace = service.namespace or document.namespace
            self._found[service.host] = Policy(service, namespace)
        policy = self._found[service.host]
        policy.explicit |= explicit and policy.namespace == document.namespace
        return policy

    def subset(self, service: Service, value: Value | None, document: Document) -> Node | None:
        """Return the name of the subset with the labels that `value` holds, None without any."""
        if value is None or not value.mapping():
            return None
        self.of(service, document).subset(value)
        name = subset_name(labels(value.texts()))
        return scalar(name, value, *value.mapping().values())

    def objects(self) -> list[Node]:
        """Return the DestinationRules, in the order in which they were first needed."""
        return [one.object() for one in self._found.values()]


class Policy:
    """A DestinationRule in the making."""

    def __init__(self, service: Service, namespace: str) -> None:
        self.service = service
        self.namespace = namespace
        self.explicit = False
        self.root = Node({})
        self.documents: list[Document] = []
        self._whole: Node | None = None
        self._ports: list[Node] = []
        self._policies: dict[Labels, Document] = {}
        self._subsets: dict[Labels, Node] = {}

    def subset(self, value: Value) -> Node:
        """Return the subset with the labels that `value` holds."""
        found = labels(value.texts())
        if found not in self._subsets:
            entry = Node({"name": scalar(subset_name(found)), "labels": copied(value)})
            self._subsets[found] = entry
        return self._subsets[found]

    def put(self, policy: Node, value: Value | None, document: Document) -> None:
        """Set the traffic policy of the service, or of the subset with the labels in `value`.

        Raises BadRules for a second one, of another `document`: which holds is not specified.
        """
        found = labels(value.texts()) if value is not None else ()
        first = self._policies.setdefault(found, document)
        if first is not document:
            raise document.at.error(
                f"a second policy for what the one at {first.at} is for; which holds is not "
                "specified"
            )
        if value is None or not found:
            self._whole = policy
        else:
            self.subset(value).put("trafficPolicy", policy)

    def add_port(self, settings: Node) -> None:
        """Add settings of one port to the traffic policy of the service."""
        self._ports.append(settings)

    def object(self) -> Node:
        """Return the DestinationRule."""
        if self._ports:
            self._whole = self._whole or Node({})
            self._whole.put("portLevelSettings", listed(*self._ports))
        spec = mapping(
            host=scalar(self.service.written(self.namespace)),
            trafficPolicy=self._whole,
            subsets=listed(*self._subsets.values()) if self._subsets else None,
        )
        head = metadata(self.service.name, self.namespace, self.explicit)
        for key in ("labels", "annotations"):
            kept, _ = carried(self.documents, key)
            head.put(key, kept)
        return completed(self.root, "DestinationRule", head, spec)
