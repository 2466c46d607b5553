"""The arms of all dialects in one form, as far as they can be read.

Unlike the reader in `rules/`, which refuses what is not served as written, this one passes over
what it cannot read (a finding of another check names it) and marks a match that it is not sure of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from meshproof.lint import dialect_httproute, dialect_routerule, dialect_virtualservice
from meshproof.lint.conditions import apart, implies
from meshproof.lint.project import Project
from meshproof.lint.routing import Arm, Match, Route, Target

__all__ = ["Arm", "Match", "Route", "Target", "covers", "impossible", "routes"]

Protocol = Literal["http", "tcp", "tls"]


@lru_cache(maxsize=2)
def routes(project: Project) -> tuple[Route, ...]:
    """Return the routes of all dialects."""
    return tuple(_routes(project))


def _routes(project: Project) -> Iterator[Route]:
    for dialect in (dialect_virtualservice, dialect_routerule, dialect_httproute):
        yield from dialect.read(project)
