"""Reads Ingress objects of Istio, found by `kubernetes.io/ingress.class: istio` or by their class.

Source: Kubernetes reference, Ingress and IngressClass (networking.k8s.io/v1, extensions/v1beta1).
Istio 0.x's page on ingress: there a path was exact, and one that ends in `.*` a prefix. Exact
paths come before prefixes, longer paths before shorter ones. Which Ingress is Istio's: istiod's
shouldProcessIngressWithClass (pilot/pkg/config/kube/ingress), ingressControllerMode STRICT.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from meshproof.base.names import INGRESS_ANNOTATION, INGRESS_CLASS, INGRESS_CONTROLLER, qualify_host
from meshproof.documents.manifest import Document, Value
from meshproof.documents.problems import CheckedDocument, read_each
from meshproof.rules import judge_options
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
HTTP_PORT = 80
_PATH_TYPES = ("Exact", "Prefix", "ImplementationSpecific")
_WILDCARD_END = re.compile(r"\.\*$")


@dataclass(frozen=True)
class Path:
    """A path of an Ingress. One of its `conditions` must hold; without any it takes all requests.

    `entry` is the path in the document. `service` is the name of the backend's Service, `port` its
    port: a number or a name.
    """

    entry: Value
    conditions: tuple[StringMatch, ...]
    service: Value
    port: Value | None

    @property
    def sort_key(self) -> tuple[int, int]:
        """A key that sorts exact paths before prefixes before others, the longer first."""
        kinds = {condition.kind for condition in self.conditions}
        rank = 0 if kinds == {"exact"} else 1 if kinds else 2
        return rank, -max((len(condition.value) for condition in self.conditions), default=0)


def handles(document: Document, classes: Collection[str] = (INGRESS_CLASS,)) -> bool:
    """Say whether this is an Ingress of Istio. `classes` are the names of its IngressClasses."""
    if document.kind != KIND or document.api_version not in API_VERSIONS:
        return False
    annotation = get_class_annotation(document)
    if annotation is not None:
        return annotation.content == INGRESS_CLASS  # it decides before any IngressClass
    ingress_class = get_class_name(document)
    return ingress_class is not None and ingress_class.content in classes


def get_class_annotation(document: Document) -> Value | None:
    """Return the annotation with an Ingress' class, None without one."""
    annotations = document.metadata.get("annotations")
    return annotations.get(INGRESS_ANNOTATION) if annotations is not None else None


def get_class_name(document: Document) -> Value | None:
    """Return the `ingressClassName` of an Ingress, None without one."""
    spec = document.root.get("spec")
    return spec.get("ingressClassName") if spec is not None else None


def find_istio_classes(documents: Iterable[Document]) -> frozenset[str]:
    """Return the names of Istio's IngressClasses: the default, and those in the documents.

    Raises BadRules with file and line for an IngressClass without name or controller.
    """
    class_names = {INGRESS_CLASS}
    for document in documents:
        if document.kind != CLASS_KIND:
            continue
        if document.spec.need("controller").text() == INGRESS_CONTROLLER:
            class_names.add(document.name)
        else:
            class_names.discard(document.name)
    return frozenset(class_names)


def read_rules(documents: Iterable[CheckedDocument]) -> RuleSet:
    """Return a gateway for each Ingress and a route table for each of its hosts.

    A port by name is a problem: it is not supported.
    """
    rules = sum(read_each(documents, _read_ingress), RuleSet())
    return replace(rules, dialect=DIALECT if rules.tables else "")


def _read_ingress(checked: CheckedDocument) -> RuleSet:
    """Return the gateway of an Ingress, and a route table for each of its hosts."""
    document = checked.document
    paths_by_host = read_paths(document)
    name, options = f"{document.namespace}/{document.name}", judge_options.read_options(document)
    tables = (
        RouteTable(
            (host,),
            tuple(_make_route(path, checked, options) for path in host_paths),
            (name,),
            document.at,
            document.name,
            document.namespace,
        )
        for host, host_paths in paths_by_host.items()
    )
    servers = (Server(HTTP_PORT, tuple(paths_by_host)),)
    return RuleSet(tuple(tables), (Gateway(name, servers, document.at),))


def _make_route(path: Path, checked: CheckedDocument, options: Options) -> Route:
    """Return the route of a path. A port by name is a problem of it."""
    matches = tuple(Match(condition.at, uri=condition) for condition in path.conditions)
    route = Route(matches, (), path.entry.at, options=options)
    with checked.collect(path.entry):
        if path.port is not None and not isinstance(path.port.content, int):
            raise path.port.at.unsupported(
                "a port by its name is not supported yet", path=path.port.path
            )
        host = qualify_host(path.service.text(), checked.document.namespace)
        port = path.port.integer(1, 65535) if path.port is not None else None
        route = replace(route, split=(Target(host, (), 100, port, path.entry.at),))
    return replace(route, problems=checked.list_errors(path.entry))


def read_paths(document: Document) -> dict[str, list[Path]]:
    """Return the paths by host (`*` for every host), in the order in which they are tried.

    Raises BadRules with file and line for unknown keys, and for no rule at all.
    """
    spec = document.spec
    document.metadata.need("name").non_empty_text()
    paths_by_host: dict[str, list[Path]] = {}
    rules = spec.get("rules")
    for rule in rules.items() if rules is not None else []:
        host = rule.get("host")
        name = host.non_empty_text() if host is not None else "*"
        http = rule.get("http")
        paths_by_host.setdefault(name, []).extend(
            _read_http_paths(http) if http is not None else ()
        )
    default_backend = spec.get("defaultBackend") or spec.get("backend")
    if default_backend is not None:
        paths_by_host.setdefault("*", []).append(
            Path(default_backend, (), *_read_backend(default_backend))
        )
    if not any(paths_by_host.values()):
        raise spec.lacks("at least one rule with a path, or a default backend")
    return {
        host: sorted(paths, key=lambda path: path.sort_key)
        for host, paths in paths_by_host.items()
        if paths
    }


def _read_http_paths(http: Value) -> Iterator[Path]:
    """Yield the paths of a rule, in the order of the document."""
    for entry in http.need("paths").items():
        backend, path, path_type = entry.need("backend"), entry.get("path"), entry.get("pathType")
        kind = path_type.choice(*_PATH_TYPES) if path_type is not None else ""
        yield Path(entry, _make_conditions(path, kind), *_read_backend(backend))


def _make_conditions(path: Value | None, kind: str) -> tuple[StringMatch, ...]:
    """Return the conditions of a path. A Prefix is a prefix of whole path elements."""
    if path is None or not path.text():
        return ()
    text = path.text()
    if kind == "Prefix":
        prefix = text.rstrip("/")
        below = StringMatch("prefix", f"{prefix}/", path.at)
        return (StringMatch("exact", prefix, path.at), below) if prefix else (below,)
    if kind != "Exact" and _WILDCARD_END.search(text):
        return (StringMatch("prefix", _WILDCARD_END.sub("", text) or "/", path.at),)
    return (StringMatch("exact", text, path.at),)


def _read_backend(backend: Value) -> tuple[Value, Value | None]:
    """Return the service and the port of a backend, in the syntax of either version."""
    service = backend.get("service")
    if service is None:
        name = backend.need("serviceName")
        name.non_empty_text()
        return name, backend.get("servicePort")
    for key in ("serviceName", "servicePort"):
        if backend.get(key) is not None:
            raise backend.keys[key].error(
                f"'{key}' has no place beside 'service'", path=backend.path
            )
    port = service.get("port")
    if port is not None:
        port = port.get("number") or port.get("name")
    name = service.need("name")
    name.non_empty_text()
    return name, port
