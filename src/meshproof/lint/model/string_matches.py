"""Every string of the rules that a request is compared with, regexes among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from meshproof.documents.manifest import At
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route_tables import read_written_routes
from meshproof.rules.written import WrittenCondition


@dataclass(frozen=True, slots=True)
class StringMatch:
    """A string that a part of a request is compared with. `match_type` says how.

    `match_type` is `exact`, `prefix`, `path_prefix` or `regex`. `part` is `uri`, `authority`,
    `header cookie`, `query q`, `origin`, `rewrite`, ...
    """

    part: str
    match_type: str
    text: str
    at: At


@lru_cache(maxsize=2)
def read_string_matches(project: Project) -> tuple[StringMatch, ...]:
    """Return every compared string of every rule of HTTP."""
    return tuple(
        string_match
        for route in read_written_routes(project)
        if route.protocol == "http"
        for conditions in (*(match.conditions for match in route.matches), route.actions.strings)
        for condition in conditions
        for string_match in _list_strings(condition)
    )


def read_regexes(project: Project) -> Iterator[StringMatch]:
    """Yield the string matches that are regexes."""
    for string_match in read_string_matches(project):
        if string_match.match_type == "regex":
            yield string_match


def _list_strings(condition: WrittenCondition) -> Iterator[StringMatch]:
    """Yield the strings of a condition.

    The regex `*`, which is none, means any value for istiod among withoutHeaders; elsewhere its
    webhook refuses it (validateHTTPRouteMatchRequest).
    """
    for kind, value in condition.strings:
        is_any = condition.negated and (kind, value.content) == ("regex", "*")
        if isinstance(value.content, str) and not is_any:
            part = f"{condition.part} {condition.name.lower()}".strip()
            yield StringMatch(part, kind, value.content, value.at)
