"""Cookie match that misses the cookie among others."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model import cookies
from meshproof.lint.model.string_matches import read_string_matches

CODE = "MP0403"


def check(project: Project) -> Iterator[Hit]:
    """Report each cookie match that takes its cookie in some places and not in others."""
    for string_match in read_string_matches(project):
        if string_match.part != "header cookie":
            continue
        missed = cookies.find_missed_header(string_match)
        if missed:
            header, cookie_regex = missed
            yield Hit(
                string_match.at,
                f"cookie: {string_match.match_type} '{string_match.text}' does not match "
                f"'Cookie: {header}'",
                cookies.build_cookie_regex(cookie_regex, string_match.match_type),
            )
