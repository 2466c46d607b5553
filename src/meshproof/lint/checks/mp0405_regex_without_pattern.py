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
    """Report each regex that takes one value only, unless another check reports it."""
    reported_places = {hit.at for hit in mp0402_regex_not_whole.check(project)}
    for regex in read_regexes(project):
        value = regexes.find_only_value(regex.text)
        if not value or regex.part == "rewrite" or regex.at in reported_places:
            continue
        if regex.part == "header cookie" and cookies.find_missed_header(regex):
            continue
        if regex.part == "uri" and not value.startswith("/"):
            continue
        yield Hit(
            regex.at,
            f"{regex.part}: regex '{regex.text}' takes this one value only",
            f"exact: {value}, or a regex with .* where other text may stand",
        )
