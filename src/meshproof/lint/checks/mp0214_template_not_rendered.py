"""Template that is not rendered."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.contents import list_mesh_kinds
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project

CODE = "MP0214"


def check(project: Project) -> Iterator[Hit]:
    """Report each template that makes rules, or what rules stand on."""
    for template in project.templates:
        if kinds := list_mesh_kinds(template):
            yield Hit(
                template.at,
                f"a template of {kinds}: what it makes is not checked",
                "helm template CHART | meshproof lint -",
            )
