"""Reads Ingress objects that Istio serves: by `kubernetes.io/ingress.class: istio`, or their class.

Source: Kubernetes reference, Ingress and IngressClass (networking.k8s.io/v1, extensions/v1beta1),
and Istio 0.x's page on ingress: there a path was exact, and one that ends in `.*` a prefix. Exact
paths come before prefixes, longer ones before shorter ones. Whose an Ingress is: istiod's
shouldProcessIngressWithClass (pilot/pkg/config/kube/ingress), ingressControllerMode STRICT.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from meshproof.base.names import INGRESS_ANNOTATION, INGRESS_CLASS, INGRESS_CONTROLLER, full_name
from meshproof.documents.manifest import Document, Value
from meshproof.rules import judge_options as rule_options
from meshproof.rules.judge_options import Options
from meshproof.rules.model import (
    Gateway,
    Match,
    Route,
    RouteTable,
    RuleSet,
    Server,
    StringMatch,
    Target,
)

API_VERSIONS = ("extensions/v1beta1", "networking.k8s.io/v1beta1", "networking.k8s.io/v1")
KIND = DIALECT = "Ingress"
CLASS_KIND = "IngressClass"
PORT = 80
_TYPES = ("Exact", "Prefix", "ImplementationSpecific")
_REST = re.compile(r"\.\*$")


@dataclass(frozen=True)
class Path:
    """A path of an Ingress: the conditions of which one must hold (none: every request), the goal.

    `port` is the backend's: a number, or the name of a Service's port.
    """

    at: Value
    conditions: tuple[StringMatch, ...]
    service: Value
    port: Value | None

    @property
    def order(self) -> tuple[int, int]:
        """Exact before prefix before the rest; the longer first."""
        kinds = {one.kind for one in self.conditions}
        rank = 0 if kinds == {"exact"} else 1 if kinds else 2
        return rank, -max((len(one.value) for one in self.conditions), default=0)


def handles(document: Document, classes: Collection[str] = (INGRESS_CLASS,)) -> bool:
    """Say whether this is an Ingress of Istio's; `classes` are the names of its IngressClasses."""
    if document.kind != KIND or document.api_version not in API_VERSIONS:
        return False
    found = annotated(document)
    if found is not None:
        return found.content == INGRESS_CLASS  # it decides before any IngressClass
    named = class_name(document)
    return named is not None and named.content in classes


def annotated(document: Document) -> Value | None:
    """Return what an Ingress' annotation says of its class, None where it has none."""
    annotations = document.metadata.get("annotations")
    return annotations.get(INGRESS_ANNOTATION) if annotations is not None else None


def class_name(document: Document) -> Value | None:
    """Return the name of an Ingress' class, None where it has none."""
    spec = document.root.get("spec")
    return spec.get("ingressClassName") if spec is not None else None


def classes(documents: Iterable[Document]) -> frozenset[str]:
    """Return the names of the IngressClasses that are Istio's, by those among the documents.

    Raises BadRules with its place for an IngressClass without name or controller.
    """
    found = {INGRESS_CLASS}
    for one in (one for one in documents if one.kind == CLASS_KIND):
        if one.spec.need("controller").text() == INGRESS_CONTROLLER:
            found.add(one.name)
        else:
            found.discard(one.name)
    return frozenset(found)


def read(documents: Iterable[Document]) -> RuleSet:
    """Return a gateway for each Ingress and a route for each of its hosts.

    Raises BadRules with its place for what is unknown, and for what has no place in the model: TLS,
    a port by its name.
    """
    tables: list[RouteTable] = []
    gateways: list[Gateway] = []
    for document in documents:
        tls = document.spec.get("tls")
        if tls is not None:
            raise document.spec.keys["tls"].unsupported(f"{tls.path} is not supported yet")
        hosts = paths(document)
        name, options = f"{document.namespace}/{document.name}", rule_options.read(document)
        gateways.append(Gateway(name, (Server(PORT, tuple(hosts)),), document.at))
        for host, found in hosts.items():
            routes = tuple(_route(one, document.namespace, options) for one in found)
            tables.append(
                RouteTable((host,), routes, (name,), document.at, document.name, document.namespace)
            )
    return RuleSet(tuple(tables), tuple(gateways), dialect=DIALECT if tables else "")


def _route(path: Path, namespace: str, options: Options) -> Route:
    if path.port is not None and not isinstance(path.port.content, int):
        raise path.port.at.unsupported(f"{path.port.path}: a port by its name is not supported yet")
    target = Target(
        full_name(path.service.text(), namespace),
        (),
        100,
        path.port.integer(1, 65535) if path.port is not None else None,
        path.at.at,
    )
    matches = tuple(Match(one.at, uri=one) for one in path.conditions)
    return Route(matches, (target,), path.at.at, options=options)


def paths(document: Document) -> dict[str, list[Path]]:
    """Return the paths by host (`*` for every host), in the order in which they are tried.

    Raises BadRules with its place for unknown keys, for no rule at all, and for a rule twice.
    """
    spec = document.spec
    document.metadata.need("name").filled()
    spec.allow("backend", "defaultBackend", "ingressClassName", "rules", "tls")
    found: dict[str, list[Path]] = {}
    rules = spec.get("rules")
    for rule in rules.items() if rules is not None else []:
        rule.allow("host", "http")
        host = rule.get("host")
        name = host.filled() if host is not None else "*"
        http = rule.get("http")
        found.setdefault(name, []).extend(_paths(http) if http is not None else ())
    rest = spec.get("defaultBackend") or spec.get("backend")
    if rest is not None:
        found.setdefault("*", []).append(Path(rest, (), *_backend(rest)))
    if not any(found.values()):
        raise spec.error("at least one rule with a path, or a default backend")
    return {host: sorted(each, key=lambda path: path.order) for host, each in found.items() if each}


def _paths(http: Value) -> Iterator[Path]:
    http.allow("paths")
    for entry in http.need("paths").items():
        entry.allow("backend", "path", "pathType")
        backend, path, how = entry.need("backend"), entry.get("path"), entry.get("pathType")
        kind = how.choice(*_TYPES) if how is not None else ""
        yield Path(entry, _conditions(path, kind), *_backend(backend))


def _conditions(path: Value | None, kind: str) -> tuple[StringMatch, ...]:
    """Return the conditions that a path stands for. A Prefix is one of whole parts of the path."""
    if path is None or not path.text():
        return ()
    text = path.text()
    if kind == "Prefix":
        whole = text.rstrip("/")
        inside = StringMatch("prefix", f"{whole}/", path.at)
        return (StringMatch("exact", whole, path.at), inside) if whole else (inside,)
    if kind != "Exact" and _REST.search(text):
        return (StringMatch("prefix", _REST.sub("", text) or "/", path.at),)
    return (StringMatch("exact", text, path.at),)


def _backend(backend: Value) -> tuple[Value, Value | None]:
    """Return the service and the port of a backend, in the words of either version."""
    service = backend.get("service")
    if service is None:
        backend.allow("serviceName", "servicePort", unsupported=("resource",))
        name = backend.need("serviceName")
        name.filled()
        return name, backend.get("servicePort")
    backend.allow("service")
    service.allow("name", "port")
    port = service.get("port")
    if port is not None:
        port.allow("name", "number")
        port = port.get("number") or port.get("name")
    name = service.need("name")
    name.filled()
    return name, port
