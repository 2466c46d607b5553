"""Regex that takes more than it says."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model import cookies, regexes
from meshproof.lint.model.string_matches import StringMatch, read_regexes

CODE = "MP0404"

_HOST_PARTS = ("authority", "origin", "header host", "header origin", "header referer")


def check(project: Project) -> Iterator[Hit]:
    """Report each regex of a cookie, host or origin that takes more than the one meant."""
    for regex in read_regexes(project):
        if regex.part == "header cookie":
            yield from _check_cookie_regex(regex)
        elif regex.part in _HOST_PARTS and not regexes.find_error(regex.text):
            yield from _check_host_regex(regex)


def _check_cookie_regex(regex: StringMatch) -> Iterator[Hit]:
    """Report a cookie regex that takes other cookies, too."""
    wrong_match = cookies.find_wrongly_matched_header(regex)
    if wrong_match:
        header, cookie_regex = wrong_match
        message = f"cookie: regex '{regex.text}' also takes 'Cookie: {header}'"
        yield Hit(regex.at, message, cookies.build_cookie_regex(cookie_regex))


def _check_host_regex(regex: StringMatch) -> Iterator[Hit]:
    """Report a host regex whose dots are not escaped."""
    escaped = regexes.escape_host_dots(regex.text)
    if escaped != regex.text:
        message = f"{regex.part}: in regex '{regex.text}' a dot stands for any character"
        yield Hit(regex.at, message, escaped)
