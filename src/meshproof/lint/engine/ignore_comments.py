"""Comment that ignores nothing.

`# meshproof: ignore[MP0301]` takes away findings of that code: in its own line, or, where it stands
alone, in the next line that is no comment. Several codes are parted by commas. Here no such finding
is there, or the code does not exist.

Why: the comment was for a defect that has been repaired since, or it has a typo and never worked.
Left there, it hides the next one.

Bad::

    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - reviews
      http:
      - route: # meshproof: ignore[MP0301]
        - destination:
            host: reviews

Good::

    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - reviews
      http:
      - route:
        - destination:
            host: reviews
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from meshproof.base.errors import nearest
from meshproof.documents.manifest import At
from meshproof.lint.engine.finding import Finding, Level
from meshproof.lint.engine.lint_input import LintInput

CODE = "MP0001"
LEVEL = Level.INFO

_COMMENT = re.compile(r"(?:^|(?<=\s))#\s*meshproof:\s*ignore\b[ \t]*(\[(?P<codes>[^\]\n]*)\])?")
#: What is not readable is never ignored: nothing was checked there.
_NEVER_IGNORED = "MP0100"


@dataclass(frozen=True)
class IgnoredCode:
    """One code of a comment: the line that it holds for, and where the code stands."""

    code: str
    line: int
    at: At


def apply_ignore_comments(
    findings: Collection[Finding],
    reading: LintInput,
    codes: Collection[str],
    left_out: Collection[str],
) -> list[Finding]:
    """Return the findings that no comment takes away, with one for each that takes away nothing.

    `codes` are all that exist; of those in `left_out` nothing was looked for, so that a comment for
    one of them is never idle.
    """
    places: dict[tuple[str, int, str], list[Finding]] = {}
    for one in findings:
        places.setdefault((one.at.file, one.at.line, one.code), []).append(one)
    taken: set[Finding] = set()
    idle: list[Finding] = []
    for file, text in reading.texts.items():
        for ignore in (
            _find_ignored_codes(file, reading.source_lines(file)) if "meshproof:" in text else ()
        ):
            here = places.get((file, ignore.line, ignore.code), [])
            if here and ignore.code != _NEVER_IGNORED:
                taken.update(here)
            elif ignore.code not in left_out:
                idle.append(_build_idle_finding(ignore, codes))
    kept = [one for one in findings if one not in taken]
    return sorted(kept if CODE in left_out else [*kept, *idle])


def _find_ignored_codes(file: str, lines: list[str]) -> Iterator[IgnoredCode]:
    following = _find_next_code_lines(lines)
    for index, line in enumerate(lines):
        for comment in _COMMENT.finditer(line):
            target = following[index] if line.lstrip().startswith("#") else index
            at = At(file, index + 1, comment.start() + 1)
            codes = [one.strip().upper() for one in (comment["codes"] or "").split(",")]
            for code in dict.fromkeys(codes):
                yield IgnoredCode(code, target + 1, at)


def _find_next_code_lines(lines: list[str]) -> list[int]:
    """Return for each line the next one that is neither empty nor a comment (else the last)."""
    found, last = [], len(lines) - 1
    for index in range(len(lines) - 1, -1, -1):
        found.append(last)
        if lines[index].strip() and not lines[index].lstrip().startswith("#"):
            last = index
    return found[::-1]


def _build_idle_finding(ignore: IgnoredCode, codes: Collection[str]) -> Finding:
    if not ignore.code:
        said, repair = "this comment names no code, so it ignores nothing", "ignore[MP0301]"
    elif ignore.code == _NEVER_IGNORED:
        said, repair = (
            f"{_NEVER_IGNORED} cannot be ignored: nothing was checked there",
            "drop the comment",
        )
    elif ignore.code not in codes:
        said = f"there is no code {ignore.code}{nearest(ignore.code, codes)}"
        repair = "the right code, or drop the comment"
    else:
        said, repair = f"no {ignore.code} is here to ignore", "drop the comment"
    return Finding(ignore.at, CODE, LEVEL, said, repair)
