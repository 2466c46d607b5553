"""Regex without a pattern."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.checks import mp0402_regex_not_whole
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model import cookies, regexes
from meshproof.lint.model.string_matches import read_regexes

CODE = "MP0405"


def check(project: Project) -> Iterator[Hit]:
    """Report each regex that takes one value only (those of which more is said are left out)."""
    elsewhere = {hit.at for hit in mp0402_regex_not_whole.check(project)}
    for one in read_regexes(project):
        value = regexes.find_only_value(one.text)
        if not value or one.part == "rewrite" or one.at in elsewhere:
            continue
        if one.part == "header cookie" and cookies.find_missed_header(one):
            continue
        if one.part == "uri" and not value.startswith("/"):
            continue
        yield Hit(
            one.at,
            f"{one.part}: regex '{one.text}' takes this one value only",
            f"exact: {value}, or a regex with .* where other text may stand",
        )
