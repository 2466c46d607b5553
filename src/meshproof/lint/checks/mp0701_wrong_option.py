"""Option of meshproof that does not hold."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.form.defect import DefectKind
from meshproof.documents.lookup import find_values, read_kind
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.rules import judge_options

CODE = "MP0701"


def check(project: Project) -> Iterator[Hit]:
    """Report each annotation that is meant for meshproof and cannot hold."""
    for document in project.documents:
        non_text_places = {
            defect.at for defect in project.find_defects(DefectKind.WRONG_TYPE, document)
        }
        for mapping in find_values(document.root, "metadata", "annotations"):
            if isinstance(mapping.content, dict):
                for at, message, repair in judge_options.find_invalid_annotations(
                    mapping, read_kind(document)
                ):
                    if at not in non_text_places:  # it has a finding already
                        yield Hit(at, message, repair)
