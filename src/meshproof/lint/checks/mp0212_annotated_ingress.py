"""Ingress that Istio serves by an annotation."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import INGRESS_ANNOTATION, INGRESS_CLASS
from meshproof.documents.form.defect import DefectKind
from meshproof.documents.lookup import find_values, read_text
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project

CODE = "MP0212"


def check(project: Project) -> Iterator[Hit]:
    """Report each Ingress with Istio's class in an annotation."""
    for document in project.documents_of_kind("Ingress"):
        if project.find_defects(DefectKind.GONE_VERSION, document):
            continue  # it has to be rewritten anyway
        for mapping in find_values(document.root, "metadata", "annotations"):
            classes = [read_text(value) for value in find_values(mapping, INGRESS_ANNOTATION)]
            if classes == [INGRESS_CLASS]:
                yield Hit(
                    mapping.keys[INGRESS_ANNOTATION],
                    f"the annotation {INGRESS_ANNOTATION} is deprecated, and an Ingress cannot "
                    "split",
                    "Gateway and VirtualService, or Gateway and HTTPRoute of Gateway API",
                )
