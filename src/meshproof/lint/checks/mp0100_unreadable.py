"""Document that cannot be read."""

from __future__ import annotations

from collections.abc import Iterable

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project

CODE = "MP0100"


def check(project: Project) -> Iterable[Hit]:
    """Report what the reader of the files could not read."""
    return project.unreadable
