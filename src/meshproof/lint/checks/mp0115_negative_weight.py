"""Negative weight."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route_tables import read_splits

CODE = "MP0115"


def check(project: Project) -> Iterator[Hit]:
    """Report each weight below zero."""
    for split in read_splits(project):
        for entry in split.entries:
            weight = entry.weight
            if weight is None or isinstance(weight.content, bool):
                continue
            if isinstance(weight.content, (int, float)) and weight.content < 0:
                yield Hit(weight.at, f"{weight.path}: {weight.content} is below 0", "0 or more")
