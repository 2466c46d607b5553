"""Folds findings that whole folders have into one for each folder: what people read of them.

Variants of a tutorial, and files of an older apiVersion, are found by the hundred.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePath

from meshproof.base.errors import pluralize
from meshproof.lint.engine.finding import Finding

#: Codes that a folder has as a whole -> what there are more of.
_FOLDED = {"MP0206": "object of an older apiVersion", "MP0209": "object of a name that others have"}
_PLURALS = {"MP0206": "objects of older apiVersions", "MP0209": "objects of names that others have"}


def fold_by_folder(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings with one for each folder of those that a folder has as a whole.

    The first one is kept, and says how many more there are.
    """
    folded: list[Finding] = []
    first_indexes: dict[tuple[str, str], int] = {}
    more_counts: dict[int, int] = {}
    for finding in findings:
        key = finding.code, str(PurePath(finding.at.file).parent)
        if finding.code in _FOLDED and key in first_indexes:
            index = first_indexes[key]
            more_counts[index] = more_counts.get(index, 0) + 1
            continue
        first_indexes[key] = len(folded)
        folded.append(finding)
    for index, count in more_counts.items():
        finding = folded[index]
        what = pluralize(count, _FOLDED[finding.code], _PLURALS[finding.code])
        folder = PurePath(finding.at.file).parent
        message = f"{finding.message}; and {what} in {folder} (-o json has each)"
        folded[index] = replace(finding, message=message)
    return folded
