"""List without an entry."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.form.defect import DefectKind
from meshproof.documents.lookup import locate_spec, read_spec
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project

CODE = "MP0110"


def check(project: Project) -> Iterator[Hit]:
    """Report each list that must not be empty and is."""
    for defect in project.find_defects(DefectKind.EMPTY_LIST):
        yield Hit(
            defect.at, f"{defect.path}: the list has no entry", "write an entry, or drop the key"
        )
    for document in project.documents_of_kind("VirtualService"):
        spec = read_spec(document)
        if spec is not None and project.lacks_keys(document, spec, "http", "tls", "tcp"):
            yield Hit(
                locate_spec(document),
                "spec: no routes: there is none of http, tls and tcp",
                "http:",
            )
