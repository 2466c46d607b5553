"""Regex that takes more than it says."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model import cookies, regexes
from meshproof.lint.model.string_matches import StringMatch, read_regexes

CODE = "MP0404"

_HOSTS = ("authority", "origin", "header host", "header origin", "header referer")


def check(project: Project) -> Iterator[Hit]:
    """Report each regex of a cookie, host or origin that takes others, too."""
    for one in read_regexes(project):
        if one.part == "header cookie":
            yield from _cookie(one)
        elif one.part in _HOSTS and not regexes.find_error(one.text):
            yield from _host(one)


def _cookie(one: StringMatch) -> Iterator[Hit]:
    found = cookies.find_wrongly_matched_header(one)
    if found:
        other, wanted = found
        said = f"cookie: regex '{one.text}' also takes 'Cookie: {other}'"
        yield Hit(one.at, said, cookies.build_cookie_regex(wanted))


def _host(one: StringMatch) -> Iterator[Hit]:
    escaped = regexes.escape_host_dots(one.text)
    if escaped != one.text:
        said = f"{one.part}: in regex '{one.text}' a dot stands for any character"
        yield Hit(one.at, said, escaped)
