"""Applies the comments `# meshproof: ignore[CODE]`; reports those that ignore nothing (MP0001)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from meshproof.base.errors import suggest_nearest
from meshproof.documents.manifest import At
from meshproof.documents.sources import SourceFiles
from meshproof.lint.engine.finding import Finding
from meshproof.lint.engine.page import read_page

CODE = "MP0001"

_COMMENT = re.compile(r"(?:^|(?<=\s))#\s*meshproof:\s*ignore\b[ \t]*(\[(?P<codes>[^\]\n]*)\])?")
#: What is not readable is never ignored: nothing was checked there.
_NEVER_IGNORED = "MP0100"


@dataclass(frozen=True)
class IgnoredCode:
    """One code in a comment: the line it applies to, and where the code stands."""

    code: str
    line: int
    at: At


def apply_ignore_comments(
    findings: Collection[Finding],
    sources: SourceFiles,
    codes: Collection[str],
    suppressed_codes: Collection[str],
) -> list[Finding]:
    """Return the findings that no comment ignores, and one for each comment that ignores nothing.

    `codes` are all codes there are. Checks in `suppressed_codes` did not run, so a comment for
    one of them is never reported.
    """
    findings_by_place: dict[tuple[str, int, str], list[Finding]] = {}
    for finding in findings:
        findings_by_place.setdefault((finding.at.file, finding.at.line, finding.code), []).append(
            finding
        )
    ignored: set[Finding] = set()
    idle_findings: list[Finding] = []
    for file, text in sources.texts.items():
        for ignored_code in (
            _find_ignored_codes(file, sources.source_lines(file)) if "meshproof:" in text else ()
        ):
            ignored_findings = findings_by_place.get(
                (file, ignored_code.line, ignored_code.code), []
            )
            if ignored_findings and ignored_code.code != _NEVER_IGNORED:
                ignored.update(ignored_findings)
            elif ignored_code.code not in suppressed_codes:
                idle_findings.append(_build_idle_finding(ignored_code, codes))
    remaining = [finding for finding in findings if finding not in ignored]
    return sorted(remaining if CODE in suppressed_codes else [*remaining, *idle_findings])


def _find_ignored_codes(file: str, lines: list[str]) -> Iterator[IgnoredCode]:
    """Yield every code of every comment in a file."""
    next_code_lines = _find_next_code_lines(lines)
    for index, line in enumerate(lines):
        for comment in _COMMENT.finditer(line):
            target = next_code_lines[index] if line.lstrip().startswith("#") else index
            at = At(file, index + 1, comment.start() + 1)
            codes = [code.strip().upper() for code in (comment["codes"] or "").split(",")]
            for code in dict.fromkeys(codes):
                yield IgnoredCode(code, target + 1, at)


def _find_next_code_lines(lines: list[str]) -> list[int]:
    """Return for each line the index of the next one that is no comment and not empty."""
    next_lines, next_line = [], len(lines) - 1
    for index in range(len(lines) - 1, -1, -1):
        next_lines.append(next_line)
        if lines[index].strip() and not lines[index].lstrip().startswith("#"):
            next_line = index
    return next_lines[::-1]


def _build_idle_finding(ignored_code: IgnoredCode, codes: Collection[str]) -> Finding:
    """Return the finding for a comment that ignores nothing."""
    if not ignored_code.code:
        message, repair = "this comment names no code, so it ignores nothing", "ignore[MP0301]"
    elif ignored_code.code == _NEVER_IGNORED:
        message, repair = (
            f"{_NEVER_IGNORED} cannot be ignored: nothing was checked there",
            "drop the comment",
        )
    elif ignored_code.code not in codes:
        message = f"there is no code {ignored_code.code}{suggest_nearest(ignored_code.code, codes)}"
        repair = "the right code, or drop the comment"
    else:
        message, repair = f"no {ignored_code.code} is here to ignore", "drop the comment"
    return Finding(ignored_code.at, CODE, read_page(CODE).level, message, repair)
