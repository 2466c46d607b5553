"""Checks of rule files, each with a stable code and a page, `pages/MPNNNN.md`.

A check is a module `checks/mpNNNN_name.py` with `CODE` and `check(project)`, which yields a Hit for
each place, or a row of the table in `checks/shape_defects.py`. The page holds level, title, text
and two examples, which are the check's tests.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from meshproof.documents.manifest import At, Document
from meshproof.documents.sources import Template, Unreadable
from meshproof.lint import checks
from meshproof.lint.checks.shape_defects import SHAPE_CHECKS
from meshproof.lint.engine.finding import Finding, Hit, Level, build_unchecked_hit
from meshproof.lint.engine.page import Page, read_page
from meshproof.lint.engine.project import Project

__all__ = [
    "Check",
    "Finding",
    "Hit",
    "Level",
    "Page",
    "Project",
    "lint",
    "load_checks",
    "read_page",
]

#: The code of what could not be read or checked.
_UNREADABLE = "MP0100"
_MODULE_NAME = re.compile(r"mp\d{4}_\w+")


@dataclass(frozen=True)
class Check:
    """A code and the function that yields a hit for each place that it complains about."""

    code: str
    run: Callable[[Project], Iterable[Hit]]


@cache
def load_checks() -> tuple[Check, ...]:
    """Return every check, in the order of the codes."""
    names = (module_info.name for module_info in pkgutil.iter_modules(checks.__path__))
    modules = [
        importlib.import_module(f"{checks.__name__}.{name}")
        for name in names
        if _MODULE_NAME.match(name)
    ]
    loaded = [Check(module.CODE, module.check) for module in modules]
    loaded += [Check(code, shape_check.check) for code, shape_check in SHAPE_CHECKS.items()]
    return tuple(sorted(loaded, key=lambda check: check.code))


def lint(
    documents: Iterable[Document],
    suppress: Iterable[str] = (),
    unreadable: Iterable[Unreadable] = (),
    templates: Iterable[Template] = (),
) -> list[Finding]:
    """Return what is wrong with `documents`, sorted by place; codes in `suppress` are left out.

    `unreadable` are files or parts of files that gave no document (reported as MP0100),
    `templates` those that are not rendered.
    """
    suppressed_codes = set(suppress)
    project = Project(documents, unreadable, templates)
    findings = {
        finding
        for check in load_checks()
        if check.code not in suppressed_codes
        for finding in _run_check(check, project)
    }
    return sorted(findings)


def _run_check(check: Check, project: Project) -> Iterator[Finding]:
    """Yield the findings of one check.

    A check that raises ends with a finding that says so: the other checks go on.
    """
    try:
        for hit in check.run(project):
            yield _make_finding(check.code, hit)
    except Exception as error:
        at = next((document.at for document in project.documents), At("", 1))
        subject = f"{check.code} in every object"
        yield _make_finding(_UNREADABLE, build_unchecked_hit(subject, error, at))


def _make_finding(code: str, hit: Hit) -> Finding:
    """Return a hit as a finding of a code, with its own level or that of the page."""
    level = hit.level or read_page(code).level
    return Finding(hit.at, code, level, hit.message, hit.suggestion)
