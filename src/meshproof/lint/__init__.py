"""Checks of rule files, each with a stable code. One module for each code, `mpNNNN_name.py`.

A module's docstring is the code's doc page: the first line is its title, then what it means and
why it matters, then the blocks `Bad::` and `Good::`, which are its tests. It has `CODE`, `LEVEL`
and `check(project)`, which yields a Hit for each place. They are found by listing
the folder `checks`.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from meshproof.documents.manifest import Document
from meshproof.lint import checks
from meshproof.lint.engine.finding import Finding, Hit, Level
from meshproof.lint.engine.project import Project

__all__ = ["Finding", "Hit", "Level", "Page", "Project", "lint", "load_check_modules", "read_page"]

_MODULE_NAME = re.compile(r"mp\d{4}_\w+")
_EXAMPLE_BLOCK = re.compile(r"^(Bad|Good)::\n\n((?:    .*\n|\n)+)", re.M)


@dataclass(frozen=True)
class Page:
    """The doc page of a code: its title, its text, one bad and one good example in YAML."""

    code: str
    level: Level
    title: str
    text: str
    bad: str
    good: str


@cache
def load_check_modules() -> tuple[ModuleType, ...]:
    """Return the module of every code, in the order of the codes."""
    names = sorted(
        module_info.name
        for module_info in pkgutil.iter_modules(checks.__path__)
        if _MODULE_NAME.match(module_info.name)
    )
    return tuple(importlib.import_module(f"{checks.__name__}.{name}") for name in names)


def read_page(module: ModuleType) -> Page:
    """Return the doc page in a module's docstring. Raises ValueError when a part is missing."""
    import textwrap

    docstring = (module.__doc__ or "").strip() + "\n"
    examples = {
        name: textwrap.dedent(body).strip() + "\n"
        for name, body in _EXAMPLE_BLOCK.findall(docstring)
    }
    if set(examples) != {"Bad", "Good"}:
        raise ValueError(f"{module.__name__}: the docstring needs one Bad:: and one Good:: block")
    title, _, text = _EXAMPLE_BLOCK.split(docstring)[0].partition("\n")
    return Page(
        module.CODE,
        module.LEVEL,
        title.rstrip("."),
        text.strip(),
        examples["Bad"],
        examples["Good"],
    )


def lint(
    documents: Iterable[Document],
    suppress: Iterable[str] = (),
    unreadable: Iterable[Hit] = (),
) -> list[Finding]:
    """Return what is wrong with `documents`, sorted by place; codes in `suppress` are left out.

    `unreadable` are hits of files or parts of files that gave no document (reported as MP0100).
    """
    suppressed_codes = set(suppress)
    project = Project(documents, unreadable)
    findings = {
        finding
        for module in load_check_modules()
        if module.CODE not in suppressed_codes
        for finding in _run_check(module, project)
    }
    return sorted(findings)


def _run_check(module: ModuleType, project: Project) -> Iterator[Finding]:
    hit: Hit
    for hit in module.check(project):
        yield Finding(hit.at, module.CODE, module.LEVEL, hit.message, hit.suggestion)
