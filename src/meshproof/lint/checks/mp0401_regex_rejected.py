"""Regex that RE2 rejects."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model import regexes
from meshproof.lint.model.string_matches import read_regexes

CODE = "MP0401"
#: So much of a regex is shown in a message.
_MAX_SHOWN = 100


def check(project: Project) -> Iterator[Hit]:
    """Report each regex that RE2 does not compile."""
    for regex in read_regexes(project):
        error = regexes.find_error(regex.text)
        if error:
            feature, repair = regexes.suggest_replacement(regex.text)
            reason = f"RE2 has no {feature}" if feature else error
            yield Hit(
                regex.at,
                f"{regex.part}: regex '{regex.text[:_MAX_SHOWN]}' is rejected: {reason}",
                repair,
            )
        elif not regex.text:
            yield Hit(regex.at, f"{regex.part}: the regex is empty, which Istio rejects", "{}")
