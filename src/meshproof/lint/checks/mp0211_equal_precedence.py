"""Two RouteRules of equal precedence."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import CLUSTER_DOMAIN, full_name
from meshproof.documents.manifest import Document, Value
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project, find_values, read_spec, read_text

CODE = "MP0211"


def check(project: Project) -> Iterator[Hit]:
    """Report each RouteRule that has the precedence of an earlier one of its destination."""
    seen: dict[tuple[str, object], Document] = {}
    for document in project.named_documents("RouteRule"):
        found = read_spec(document)
        if found is None:
            continue
        precedence = found.get("precedence")
        order = precedence.content if precedence is not None else 0
        if not isinstance(order, int):
            continue
        for destination in find_values(found, "destination"):
            first = seen.setdefault((_host(destination, document.namespace), order), document)
            if first is document or (first.namespace, first.name) == (
                document.namespace,
                document.name,
            ):
                continue
            yield Hit(
                found.keys.get("precedence", document.at),
                f"the precedence of '{document.name}' is {order}, as that of '{first.name}' at "
                f"{first.at}: either may win",
                "another precedence: the higher one is asked first",
            )


def _host(destination: Value, namespace: str) -> str:
    if not isinstance(destination.content, dict):
        return ""
    service = read_text(destination.get("service"))
    if service:
        return full_name(service, namespace)
    owner = read_text(destination.get("namespace")) or namespace
    domain = read_text(destination.get("domain")) or CLUSTER_DOMAIN
    return f"{read_text(destination.get('name'))}.{owner}.{domain}"
