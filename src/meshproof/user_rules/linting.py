"""What lint says of a user's rules: errors that fail a run, and warnings beside the routes.

Lint looks at the objects that were read for the run: no file is read twice. An error is what Istio
or Kubernetes refuses, or what makes requests fail; what the files may only lack is none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from meshproof.base.errors import BadRules, pluralize
from meshproof.documents.contents import name_object
from meshproof.documents.lookup import read_kind
from meshproof.documents.sources import SourceFiles
from meshproof.inventory.workloads import WORKLOAD_KINDS
from meshproof.lint import Finding, Level, lint, load_checks, read_page
from meshproof.lint.engine import ignore_comments
from meshproof.run.cause import Cause
from meshproof.run.remark import Remark
from meshproof.user_rules.causes import explain_dead_end

if TYPE_CHECKING:
    from meshproof.documents.manifest import At, Document
    from meshproof.oracle.case import Plan
    from meshproof.oracle.dead_ends import DeadEnd
    from meshproof.user_rules.excluded import Excluded

#: What the run itself says of an object: unreadable, of a removed kind, of a name that others have.
_SAID_BY_RUN = ("MP0100", "MP0204", "MP0209")
#: What clusters of today refuse, and those that served RouteRules did not.
_OLD_VERSION = "MP0207"
_OF_AN_ERA = ("MP0107", "MP0202", "MP0205", _OLD_VERSION, "MP0211")
_LEGACY_KINDS = ("DestinationPolicy", "EgressRule", "RouteRule")
#: What may be in a part of the files that was not read.
_MAY_BE_ELSEWHERE = ("MP0501", "MP0510")
#: What some tool puts a value in place of, before anything is applied.
_PLACEHOLDERS = ("${", "{{")
#: At most this many warnings that touch no route are named.
_MAX_NOTES = 20


@dataclass(frozen=True)
class LintError:
    """An error that lint has found: the name and title of its promise, its place and its cause."""

    name: str
    title: str
    at: At
    cause: Cause

    def __str__(self) -> str:
        return f"{self.at}: error {self.cause.code}: {self.cause.what}"


@dataclass(frozen=True)
class LintReport:
    """What lint says of the rules of a run.

    `errors` are failures of the run. `route_warnings` has those of each route, by the index of its
    table and its own; `notes` are the other warnings, and how many findings there are.
    """

    errors: tuple[LintError, ...] = ()
    route_warnings: Mapping[tuple[int, int | None], tuple[Remark, ...]] = field(
        default_factory=dict
    )
    notes: tuple[str, ...] = ()


def find_mistakes(
    objects: Sequence[Document],
    inventory: Sequence[Document],
    files: SourceFiles,
    is_partial: bool,
) -> list[Finding]:
    """Return the errors and warnings of a user's objects, as they count in a run.

    `inventory` are objects that the rules stand on. `is_partial` if a part of the files could not
    be read. Comments in the files ignore findings, as in `meshproof lint`.
    """
    documents = list({id(document): document for document in (*objects, *inventory)}.values())
    own_files = {document.at.file for document in objects}
    findings = [finding for finding in lint(documents) if finding.at.file in own_files]
    codes = [check.code for check in load_checks()]
    findings = ignore_comments.apply_ignore_comments(findings, files, codes, ())
    places = _ObjectPlaces(objects)
    is_legacy = any(read_kind(document) in _LEGACY_KINDS for document in objects)
    mild_codes = (_OF_AN_ERA if is_legacy else ()) + (_MAY_BE_ELSEWHERE if is_partial else ())
    old_objects = {places.name(finding.at) for finding in findings if finding.code == _OLD_VERSION}

    def is_mild(finding: Finding) -> bool:
        """Say whether an error is none in a run, or follows from another."""
        is_of_old = finding.code != _OLD_VERSION and places.name(finding.at) in old_objects
        is_template = any(mark in finding.message for mark in _PLACEHOLDERS)
        is_of_workload = places.is_of_workload(finding.at)
        return finding.code in mild_codes or is_of_old or is_template or is_of_workload

    return [
        replace(finding, level=Level.WARNING) if is_mild(finding) else finding
        for finding in findings
        if finding.level is not Level.INFO and finding.code not in _SAID_BY_RUN
    ]


def build_report(
    findings: Sequence[Finding],
    objects: Sequence[Document],
    plan: Plan,
    excluded: Sequence[Excluded],
) -> tuple[LintReport, tuple[Excluded, ...]]:
    """Return the report of findings, and the excluded objects with the errors that explain them.

    What an object is excluded for, or what breaks cases, is one cause with the finding of it.
    """
    places = _ObjectPlaces(objects)
    errors = [finding for finding in findings if finding.level is Level.ERROR]
    explained = _explain_excluded(excluded, errors, places)
    own_errors = [error for error in errors if all(error is not entry for _, entry in explained)]
    dead_ends = [dead_end for case in plan.cases for dead_end in case.dead_ends]
    all_warnings = [finding for finding in findings if finding.level is Level.WARNING]
    warnings = [
        finding for finding in all_warnings if _find_dead_end(finding, dead_ends, places) is None
    ]
    route_warnings, other_warnings = _sort_by_route(warnings, plan, places)
    notes = (_count_findings(len(errors), len(all_warnings)), *_list_notes(other_warnings))
    report = LintReport(tuple(_build_errors(own_errors, dead_ends, places)), route_warnings, notes)
    return report, tuple(entry for entry, _ in explained)


def _count_findings(error_count: int, warning_count: int) -> str:
    """Return how much lint has found, in words."""
    counts = ((error_count, "error"), (warning_count, "warning"))
    parts = [pluralize(count, level) for count, level in counts if count]
    return f"lint: {', '.join(parts)}" if parts else "lint finds nothing"


def _list_notes(warnings: Sequence[Finding]) -> Iterator[str]:
    """Yield a note for each warning that touches no route, and one for those beyond the limit."""
    yield from (f"lint: {_build_remark(warning)}" for warning in warnings[:_MAX_NOTES])
    if len(warnings) > _MAX_NOTES:
        yield f"lint: {pluralize(len(warnings) - _MAX_NOTES, 'more warning')}: see `meshproof lint`"


def _explain_excluded(
    excluded: Sequence[Excluded], errors: Sequence[Finding], places: _ObjectPlaces
) -> list[tuple[Excluded, Finding | None]]:
    """Return each excluded object, with the error that explains it."""
    explained: list[tuple[Excluded, Finding | None]] = []
    for entry in excluded:
        error = _find_explanation(entry, errors, places)
        if error is not None:
            entry = replace(entry, lint_cause=_build_cause(error))
        explained.append((entry, error))
    return explained


class _ObjectPlaces:
    """Where objects begin in their files: finds the object that a place is in."""

    def __init__(self, objects: Iterable[Document]) -> None:
        by_file: dict[str, list[Document]] = {}
        for document in objects:
            by_file.setdefault(document.at.file, []).append(document)
        self._documents = {
            file: sorted(documents, key=lambda document: document.at.line)
            for file, documents in by_file.items()
        }

    def find(self, at: At) -> Document | None:
        """Return the last object of the file that begins at a place or above it."""
        documents = self._documents.get(at.file, [])
        index = bisect_right([document.at.line for document in documents], at.line)
        return documents[index - 1] if index else None

    def name(self, at: At) -> str:
        """Return the name of the object at a place; the place if its name cannot be read."""
        document = self.find(at)
        try:
            return name_object(document) if document is not None else str(at)
        except BadRules:
            return f"document {document.at if document is not None else at}"

    def is_of_workload(self, at: At) -> bool:
        """Say whether a place is in a workload: echo workloads stand for its pods in a run."""
        document = self.find(at)
        return document is not None and read_kind(document) in WORKLOAD_KINDS

    def are_together(self, first: At, second: At) -> bool:
        """Say whether two places are in one object."""
        document = self.find(first)
        return document is not None and document is self.find(second)


def _find_explanation(
    entry: Excluded, errors: Sequence[Finding], places: _ObjectPlaces
) -> Finding | None:
    """Return the error that says why an object is excluded: the nearest in it, or None."""
    if not (entry.is_wrong or entry.is_lacking) or entry.cause is not None:
        return None
    own_errors = [error for error in errors if places.are_together(error.at, entry.at)]
    return min(own_errors, key=lambda error: abs(error.at.line - entry.at.line), default=None)


def _find_dead_end(
    finding: Finding, dead_ends: Sequence[DeadEnd], places: _ObjectPlaces
) -> Cause | None:
    """Return the cause of the cases that end where a finding says so, or None."""
    candidates: list[tuple[int, Cause]] = []
    for dead_end in dead_ends:
        at = dead_end.subset_at if finding.code == "MP0504" else dead_end.at
        if at is None or dead_end.is_called_port or not places.are_together(at, finding.at):
            continue
        cause = explain_dead_end(dead_end)
        if cause.code == finding.code:
            candidates.append((abs(finding.at.line - at.line), cause))
    return min(candidates, key=lambda candidate: candidate[0], default=(0, None))[1]


def _build_errors(
    errors: Sequence[Finding], dead_ends: Sequence[DeadEnd], places: _ObjectPlaces
) -> Iterator[LintError]:
    """Yield each error with a name that no other has."""
    counts: dict[str, int] = {}
    for error in errors:
        object_name = places.name(error.at)
        name = f"{error.code} {object_name}"
        counts[name] = counts.get(name, 0) + 1
        cause = _find_dead_end(error, dead_ends, places) or _build_cause(error)
        number = f" ({counts[name]})" if counts[name] > 1 else ""
        title = f"lint finds no {error.code} in {object_name}"
        yield LintError(f"{name}{number}", title, error.at, cause)


def _build_cause(finding: Finding) -> Cause:
    """Return the cause that an error is."""
    repairs = (finding.suggestion,) if finding.suggestion else ()
    title = read_page(finding.code).title
    return Cause(finding.message, finding.at.place, title, repairs, finding.code)


def _sort_by_route(
    warnings: Sequence[Finding], plan: Plan, places: _ObjectPlaces
) -> tuple[dict[tuple[int, int | None], tuple[Remark, ...]], list[Finding]]:
    """Return the warnings of each route, and those that are in none."""
    starts: dict[str, list[tuple[tuple[int, int], tuple[int, int]]]] = {}
    for table_index, coverage in enumerate(plan.coverage):
        for index, route in enumerate(coverage.table.routes):
            start = route.at.line, route.at.column
            starts.setdefault(route.at.file, []).append((start, (table_index, index)))
    for routes in starts.values():
        routes.sort()
    by_route: dict[tuple[int, int | None], tuple[Remark, ...]] = {}
    others = []
    for warning in warnings:
        routes = starts.get(warning.at.file, [])
        place = warning.at.line, warning.at.column
        position = bisect_right([start for start, _ in routes], place)
        key = routes[position - 1][1] if position else None
        if key and places.are_together(_get_route_place(plan, key), warning.at):
            by_route[key] = (*by_route.get(key, ()), _build_remark(warning))
        else:
            others.append(warning)
    return by_route, others


def _get_route_place(plan: Plan, key: tuple[int, int]) -> At:
    """Return where a route begins."""
    return plan.coverage[key[0]].table.routes[key[1]].at


def _build_remark(warning: Finding) -> Remark:
    """Return the remark that a warning is."""
    return Remark(warning.at.place, warning.message, warning.code)
