"""Regex that RE2 rejects."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model import regexes
from meshproof.lint.model.string_matches import read_regexes

CODE = "MP0401"


def check(project: Project) -> Iterator[Hit]:
    """Report each regex that RE2 does not compile."""
    for one in read_regexes(project):
        said = regexes.find_error(one.text)
        if said:
            lacking, repair = regexes.suggest_replacement(one.text)
            named = f"RE2 has no {lacking}" if lacking else said
            yield Hit(one.at, f"{one.part}: regex '{one.text}' is rejected: {named}", repair)
        elif not one.text:
            yield Hit(one.at, f"{one.part}: the regex is empty, which Istio rejects", "{}")
