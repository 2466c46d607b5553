"""Two RouteRules of equal precedence."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import CLUSTER_DOMAIN, qualify_host
from meshproof.documents.lookup import find_values, read_spec, read_text
from meshproof.documents.manifest import Document, Value
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project

CODE = "MP0211"


def check(project: Project) -> Iterator[Hit]:
    """Report each RouteRule that has the precedence of an earlier one of its destination."""
    first_documents: dict[tuple[str, object], Document] = {}
    for document in project.named_documents("RouteRule"):
        spec = read_spec(document)
        if spec is None:
            continue
        precedence = spec.get("precedence")
        order = precedence.content if precedence is not None else 0
        if not isinstance(order, int):
            continue
        for destination in find_values(spec, "destination"):
            host = _resolve_host(destination, document.namespace)
            first_document = first_documents.setdefault((host, order), document)
            if _identify(first_document) == _identify(document):
                continue  # the same object, or one that replaces it: MP0209
            yield Hit(
                spec.keys.get("precedence", document.at),
                f"the precedence of '{document.name}' is {order}, as that of "
                f"'{first_document.name}' at {first_document.at}: either may win",
                "another precedence: the higher one is asked first",
            )


def _identify(document: Document) -> tuple[str, str]:
    return document.namespace, document.name


def _resolve_host(destination: Value, namespace: str) -> str:
    """Return the full host of a destination, empty where it is no mapping."""
    if not isinstance(destination.content, dict):
        return ""
    service = read_text(destination.get("service"))
    if service:
        return qualify_host(service, namespace)
    destination_namespace = read_text(destination.get("namespace")) or namespace
    domain = read_text(destination.get("domain")) or CLUSTER_DOMAIN
    return f"{read_text(destination.get('name'))}.{destination_namespace}.{domain}"
