"""Two objects of one name."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.lookup import read_api_group, read_kind
from meshproof.documents.manifest import Document
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project

CODE = "MP0209"


def check(project: Project) -> Iterator[Hit]:
    """Report each object that replaces an earlier one."""
    first_documents: dict[tuple[str, ...], Document] = {}
    kinds = {read_kind(document) for document in project.documents} - {""}
    for document in project.named_documents(*kinds):
        identity = (read_api_group(document), document.kind, document.namespace, document.name)
        first_document = first_documents.setdefault(identity, document)
        if first_document is not document:
            yield Hit(
                document.metadata.need("name").at,
                f"this {document.kind} '{document.name}' replaces the one at {first_document.at}",
                "another name, or one object for both",
            )
