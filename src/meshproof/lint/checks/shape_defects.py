"""The checks that put one kind of shape defect into words, as a table: code -> ShapeCheck.

The shapes find these defects (`meshproof.documents.form`); a check here adds nothing but the words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from meshproof.documents.form.defect import Defect, DefectKind
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project


def _get_repair(defect: Defect) -> str:
    return defect.repair


def _get_expected(defect: Defect) -> str:
    return defect.expected


@dataclass(frozen=True)
class ShapeCheck:
    """A kind of defect with the functions that return its message and its suggestion."""

    kind: DefectKind
    describe: Callable[[Defect], str]
    suggest: Callable[[Defect], str] = _get_repair

    def check(self, project: Project) -> Iterator[Hit]:
        """Report each defect of this kind."""
        for defect in project.find_defects(self.kind):
            yield Hit(defect.at, self.describe(defect), self.suggest(defect))


def _describe_unknown_key(defect: Defect) -> str:
    if defect.expected == defect.actual:
        return f"{_format_path(defect)}'{defect.actual}' stands one level too deep"
    return f"{_format_path(defect)}unknown key '{defect.actual}'{_format_nearest(defect)}"


def _describe_wrong_case(defect: Defect) -> str:
    return f"{_format_path(defect)}'{defect.actual}' is written '{defect.expected}'"


def _describe_wrong_value(defect: Defect) -> str:
    return f"{defect.path}: expected {defect.expected}, found {defect.actual}"


def _describe_wrong_word(defect: Defect) -> str:
    nearest = _format_nearest(defect)
    return f"{defect.path}: '{defect.actual}' is no valid word here{nearest}"


def _describe_missing_type(defect: Defect) -> str:
    verb = "are" if " and " in defect.actual else "is"
    likely_kind = f"; the document looks like a {defect.expected}" if defect.expected else ""
    return f"{defect.actual} {verb} missing{likely_kind}"


def _describe_exclusive_keys(defect: Defect) -> str:
    return f"{defect.path or 'the document'}: {defect.actual} exclude each other"


def _describe_unknown_kind(defect: Defect) -> str:
    return f"{defect.repair} has no kind '{defect.actual}'{_format_nearest(defect)}"


def _describe_unknown_version(defect: Defect) -> str:
    served = f"; it is served as {defect.expected}" if defect.expected else ""
    return f"there is no {defect.repair} in {defect.actual}{served}"


def _describe_old_spelling(defect: Defect) -> str:
    today = f"; today it is {defect.expected or 'a mapping'}"
    return f"{_format_path(defect)}'{defect.actual}' is the spelling of an earlier version{today}"


def _describe_older_version(defect: Defect) -> str:
    return f"{defect.repair} is served as {defect.expected} by now"


def _describe_gone_version(defect: Defect) -> str:
    today = f"; today it is {defect.expected}" if defect.expected else ""
    return f"{defect.repair} is not served as {defect.actual} any more{today}"


def _format_path(defect: Defect) -> str:
    return f"{defect.path}: " if defect.path else ""


def _format_nearest(defect: Defect) -> str:
    return f"; did you mean '{defect.expected}'?" if defect.expected else ""


#: Kinds without a key of their own hold the document's kind or apiVersion in `repair`.
SHAPE_CHECKS = {
    "MP0101": ShapeCheck(DefectKind.UNKNOWN_KEY, _describe_unknown_key),
    "MP0102": ShapeCheck(DefectKind.WRONG_CASE, _describe_wrong_case),
    "MP0103": ShapeCheck(DefectKind.WRONG_TYPE, _describe_wrong_value),
    "MP0104": ShapeCheck(DefectKind.WRONG_WORD, _describe_wrong_word),
    "MP0105": ShapeCheck(DefectKind.OUT_OF_RANGE, _describe_wrong_value),
    "MP0107": ShapeCheck(DefectKind.NO_TYPE, _describe_missing_type),
    "MP0108": ShapeCheck(
        DefectKind.EXCLUSIVE_KEYS, _describe_exclusive_keys, lambda _: "keep one of them"
    ),
    "MP0111": ShapeCheck(
        DefectKind.NO_VALUE,
        lambda defect: f"{defect.path}: there is no value",
        lambda _: "write the value, or drop the key",
    ),
    "MP0201": ShapeCheck(DefectKind.UNKNOWN_KIND, _describe_unknown_kind, _get_expected),
    "MP0202": ShapeCheck(DefectKind.UNKNOWN_VERSION, _describe_unknown_version, _get_expected),
    "MP0203": ShapeCheck(
        DefectKind.NOT_CHECKED, lambda defect: f"{defect.actual}: it is not checked", lambda _: ""
    ),
    "MP0205": ShapeCheck(DefectKind.OLD_SPELLING, _describe_old_spelling),
    "MP0206": ShapeCheck(DefectKind.OLDER_VERSION, _describe_older_version, _get_expected),
    "MP0207": ShapeCheck(DefectKind.GONE_VERSION, _describe_gone_version, _get_expected),
}
