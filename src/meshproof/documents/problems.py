"""Collects what is wrong with a document while it is read, so that one problem hides no other."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from meshproof.base.errors import BadRules
from meshproof.documents.form.defect import Defect, DefectKind
from meshproof.documents.form.walk import check_document
from meshproof.documents.lookup import find_values
from meshproof.documents.manifest import Document, Value


class ReadObject(Protocol):
    """An object that was read from a document, with its problems, in order."""

    @property
    def problems(self) -> tuple[BadRules, ...]:
        """What is wrong or not supported, each with file and line."""


T = TypeVar("T")
ReadT = TypeVar("ReadT", bound=ReadObject)
_INDEX = re.compile(r"\[\d+\]")
#: Kind of a defect of a key -> what is said of the key.
_KEY_WORDING = {
    DefectKind.UNKNOWN_KEY: "unknown key '{key}'{hint}",
    DefectKind.WRONG_CASE: "unknown key '{key}'{hint}",
    DefectKind.OLD_SPELLING: (
        "'{key}' is the spelling of an earlier version; today it is '{expected}'"
    ),
}
#: Kind of a defect of a value -> what is said of the value.
_VALUE_WORDING = {
    DefectKind.WRONG_TYPE: "expected {expected}, found {actual}",
    DefectKind.OUT_OF_RANGE: "expected {expected}, found {actual}",
    DefectKind.WRONG_WORD: "'{actual}' is not one of {choices}{hint}",
    DefectKind.MISSING_KEY: "'{actual}' is missing",
    DefectKind.EXCLUSIVE_KEYS: "{actual} exclude each other",
    DefectKind.EMPTY_LIST: "expected at least one entry",
}


@dataclass(frozen=True)
class Support:
    """What a reader does with the keys of a kind that it does not read. Keys are paths.

    A path is that of a value without the indexes of lists: `spec.http.retries.backoff`. It stands
    for all that is below it. `unsupported` are keys that may change how requests are answered but
    are not served or not proven, with the reason (may be empty). `without_effect` are keys that do
    not change which workload answers a request, or how: they are checked against the shape alone.
    `old_keys` are keys of earlier versions that the reader reads.
    """

    unsupported: Mapping[str, str] = field(default_factory=dict)
    without_effect: tuple[str, ...] = ()
    old_keys: tuple[str, ...] = ()

    def ignores(self, path: str) -> bool:
        """Say whether a path (without indexes) is that of a key without effect, or below one."""
        return any(path == key or path.startswith(f"{key}.") for key in self.without_effect)


@dataclass(frozen=True)
class Problem:
    """An error, and the path of the value that cannot be used because of it."""

    error: BadRules
    path: str


@dataclass(eq=False)
class CheckedDocument:
    """A document whose form was checked, and the problems that were met so far, in order."""

    document: Document
    problems: list[Problem]

    @contextlib.contextmanager
    def collect(self, value: Value) -> Iterator[None]:
        """Turn a BadRules raised in this context into a problem of `value`."""
        try:
            yield
        except BadRules as error:
            self.problems.append(Problem(error, value.path))

    def add_errors(self, errors: Iterable[BadRules]) -> None:
        """Add errors as problems of the whole document."""
        self.problems += [Problem(error, "") for error in errors]

    def add_error(self, error: BadRules, value: Value) -> None:
        """Add an error as a problem of a value that can be read all the same."""
        self.problems.append(Problem(error, value.path))

    def read_each(self, values: Iterable[Value], read: Callable[[Value], T]) -> tuple[T, ...]:
        """Return what `read` returns for each value; those that cannot be read become problems."""
        results = []
        for value in values:
            with self.collect(value):
                results.append(read(value))
        return tuple(results)

    def list_errors(self, value: Value) -> tuple[BadRules, ...]:
        """Return the errors that concern a value, or something in it."""
        beginnings = (f"{value.path}.", f"{value.path}[")
        return tuple(
            problem.error
            for problem in self.problems
            if problem.path == value.path or problem.path.startswith(beginnings)
        )


def read_each(
    documents: Iterable[CheckedDocument], read: Callable[[CheckedDocument], T]
) -> tuple[T, ...]:
    """Return what `read` returns for each document; those that cannot be read become problems."""
    results = []
    for checked in documents:
        with checked.collect(checked.document.root):
            results.append(read(checked))
    return tuple(results)


def read_valid(
    documents: Iterable[CheckedDocument], read: Callable[[Iterable[Document]], Iterable[ReadT]]
) -> Iterator[ReadT]:
    """Yield what `read` makes of each document, if neither has a problem; keep those there are."""
    for checked in documents:
        for read_object in read([checked.document]):
            checked.add_errors(read_object.problems)
            if not checked.problems:
                yield read_object


def check(document: Document, support: Support) -> CheckedDocument:
    """Return the document with the problems of its form, and its unsupported keys as problems.

    The form is that of the kind's shape. Values that the reader reads are left to the reader.
    """
    _, defects = check_document(document)
    problems = [*_find_key_problems(defects, support), *_find_unsupported(document, support)]
    problems.sort(key=lambda problem: (problem.error.line, problem.error.column))
    return CheckedDocument(document, [*problems, *_find_value_problems(defects, support)])


def _find_key_problems(defects: Iterable[Defect], support: Support) -> Iterator[Problem]:
    """Yield a problem for each key that the kind does not have."""
    wrong_beginnings = tuple(
        f"{defect.path}." for defect in defects if defect.kind is DefectKind.WRONG_TYPE
    )
    for defect in defects:
        wording, path = _KEY_WORDING.get(defect.kind), f"{defect.path}.{defect.actual}".lstrip(".")
        is_key = defect.expected or defect.kind is DefectKind.UNKNOWN_KEY
        if not (wording and is_key) or _INDEX.sub("", path) in support.old_keys:
            continue
        if path.startswith(wrong_beginnings):
            continue  # keys of what should be no mapping at all
        text = wording.format(key=defect.actual, expected=defect.expected, hint=_suggest(defect))
        yield Problem(defect.at.error(text, path), path)


def _find_value_problems(defects: Iterable[Defect], support: Support) -> Iterator[Problem]:
    """Yield a problem for each wrong value that no reader looks at."""
    for defect in defects:
        wording = _VALUE_WORDING.get(defect.kind)
        if wording and support.ignores(_INDEX.sub("", defect.path)):
            choices = ", ".join(sorted(defect.choices))
            text = wording.format_map(
                {**vars(defect), "choices": choices, "hint": _suggest(defect)}
            )
            is_absent = defect.kind in (DefectKind.MISSING_KEY, DefectKind.EMPTY_LIST)
            make_error = defect.at.absent if is_absent else defect.at.error
            yield Problem(make_error(text, defect.path), defect.path)


def _suggest(defect: Defect) -> str:
    """Return the expected word of a defect as a question, empty without one."""
    return f"; did you mean '{defect.expected}'?" if defect.expected else ""


def _find_unsupported(document: Document, support: Support) -> Iterator[Problem]:
    """Yield a problem for each key that is valid but not supported."""
    for pattern, reason in support.unsupported.items():
        *parents, key = pattern.split(".")
        for parent in find_values(document.root, *parents):
            if isinstance(parent.content, dict) and parent.get(key) is not None:
                path = f"{parent.path}.{key}"
                text = f"{path} is not supported{f': {reason}' if reason else ' yet'}"
                error = parent.keys[key].unsupported(text)
                error.path = path
                yield Problem(error, path)
