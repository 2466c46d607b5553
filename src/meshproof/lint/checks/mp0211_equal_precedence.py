"""Two RouteRules of equal precedence."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.lookup import find_values, read_spec
from meshproof.documents.manifest import Document
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.rules.legacy.written import find_service_host

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
            host = find_service_host(destination, document.namespace)
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
