"""Findings as text for people, as JSON and as SARIF 2.1.0 for machines."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath
from typing import Any, TextIO

from meshproof import __version__
from meshproof.documents.manifest import STDIN_NAME
from meshproof.lint import Page
from meshproof.lint.engine.finding import Finding, Level
from meshproof.lint.engine.lint_input import LintInput

_STYLES = {Level.ERROR: "bold red", Level.WARNING: "bold yellow", Level.INFO: "bold cyan"}
_SARIF_LEVELS = {Level.ERROR: "error", Level.WARNING: "warning", Level.INFO: "note"}
_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
#: A line of source is shown up to this width.
_MAX_WIDTH = 120

#: Text with the style that rich gives it on a terminal.
Part = tuple[str, str]


def summarize(findings: Sequence[Finding], reading: LintInput) -> str:
    """Return the last line: how many findings of each level, in how much."""
    found = Counter(one.level for one in findings)
    objects, files = len(reading.documents), len(reading.texts)
    live = sum(one.startswith("cluster:") for one in reading.texts)
    places = [_format_count(files - live, "file")] if files > live or not live else []
    places += ["a cluster"] if live else []
    seen = f"{_format_count(objects, 'object')} in {' and '.join(places)}"
    if not findings:
        return f"Nothing found in {seen}."
    levels = ", ".join(_format_count(found[level], str(level)) for level in Level if found[level])
    return f"{levels}. Checked: {seen}."


def _format_count(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def render_text(findings: Sequence[Finding], reading: LintInput) -> Iterator[Part]:
    """Yield the findings with their lines of source, then the counts."""
    lines: dict[str, list[str]] = {}
    for one in findings:
        if one.at.file not in lines:
            lines[one.at.file] = reading.source_lines(one.at.file)
        yield from _render_finding(one, lines[one.at.file])
    yield summarize(findings, reading) + "\n", "bold"


def _render_finding(one: Finding, lines: Sequence[str]) -> Iterator[Part]:
    yield f"{_make_printable(one.at.file)}:{one.at.line}:{one.at.column}: ", "bold"
    yield f"{one.level} {one.code}", _STYLES[one.level]
    yield f": {_make_printable(one.message)}\n", ""
    margin = " " * len(str(one.at.line))
    source = lines[one.at.line - 1] if one.at.line <= len(lines) else ""
    if source.strip():
        shown, caret = _fit_line(source, one.at.column)
        yield f"  {one.at.line} | ", "dim"
        yield f"{shown}\n", ""
        yield f"  {margin} | ", "dim"
        yield f"{' ' * caret}^\n", _STYLES[one.level]
    if one.suggestion:
        yield f"  {margin} = ", "dim"
        yield f"{_make_printable(one.suggestion)}\n", "green"


def _fit_line(source: str, column: int) -> tuple[str, int]:
    """Return a line as it can be shown, and where the caret stands below it."""
    source = _make_printable(source.rstrip())
    caret = min(column - 1, len(source))
    start = max(0, caret - _MAX_WIDTH // 2) if len(source) > _MAX_WIDTH else 0
    shown = source[start : start + _MAX_WIDTH]
    before, after = "..." * (start > 0), "..." * (start + _MAX_WIDTH < len(source))
    return f"{before}{shown}{after}", caret - start + len(before)


def _make_printable(said: str) -> str:
    """Return text that does nothing to a terminal: what is not printable is replaced."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in said)


def write_parts(parts: Iterator[Part], stream: TextIO) -> None:
    """Write text to a stream, in colour where it is a terminal that wants it."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if plain or not stream.isatty():
        stream.writelines(part for part, _ in parts)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, highlight=False, soft_wrap=True)
    console.print(Text.assemble(*parts), end="")


def render_json(findings: Sequence[Finding]) -> str:
    """Return the findings as a JSON list of objects."""
    return json.dumps([one.to_dict() for one in findings], indent=1)


def render_sarif(
    findings: Sequence[Finding],
    reading: LintInput,
    pages: Sequence[Page],
    exit_code: int,
) -> str:
    """Return the findings as a SARIF 2.1.0 log with one run; every code is a rule with help."""
    index = {page.code: number for number, page in enumerate(pages)}
    lines: dict[str, list[str]] = {}
    results = []
    for one in findings:
        if one.at.file not in lines:
            lines[one.at.file] = reading.source_lines(one.at.file)
        results.append(_build_result(one, index[one.code], lines[one.at.file]))
    driver = {
        "name": "meshproof",
        "semanticVersion": __version__,
        "rules": [_build_rule(page) for page in pages],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": exit_code in (0, 79), "exitCode": exit_code}],
        "results": results,
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1)


def _build_rule(page: Page) -> dict[str, Any]:
    words = "".join(word[:1].upper() + word[1:] for word in page.title.replace("'", "").split())
    return {
        "id": page.code,
        "name": "".join(one for one in words if one.isalnum()),
        "shortDescription": {"text": f"{page.title}."},
        "fullDescription": {"text": page.text.partition("\n\n")[0].replace("\n", " ")},
        "help": {"text": render_page_text(page), "markdown": render_page_markdown(page)},
        "defaultConfiguration": {"level": _SARIF_LEVELS[page.level]},
        "properties": {"tags": ["istio", "routing"]},
    }


def _build_result(one: Finding, rule: int, lines: Sequence[str]) -> dict[str, Any]:
    source = lines[one.at.line - 1] if one.at.line <= len(lines) else ""
    repair = f"\nSuggested: {one.suggestion}" if one.suggestion else ""
    region: dict[str, Any] = {"startLine": one.at.line, "startColumn": one.at.column}
    if source.strip():
        region["snippet"] = {"text": source}
    return {
        "ruleId": one.code,
        "ruleIndex": rule,
        "level": _SARIF_LEVELS[one.level],
        "message": {"text": one.message + repair},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _build_uri(one.at.file)},
                    "region": region,
                }
            }
        ],
        "partialFingerprints": {"codeAndLine/v1": _compute_fingerprint(one, source)},
    }


def _compute_fingerprint(one: Finding, source: str) -> str:
    """Return what stays the same when lines above are added: so that old findings stay old."""
    import hashlib

    said = f"{one.code}\n{one.at.file}\n{source.strip()}\n{one.message}"
    return hashlib.sha256(said.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _build_uri(file: str) -> str:
    """Return a file's URI: relative as it was named, `file:` for an absolute path."""
    from urllib.parse import quote

    if file == STDIN_NAME:
        return "stdin"
    path = PurePath(file)
    raw = os.fsencode(path.as_posix())
    return f"file://{quote(raw)}" if path.is_absolute() else quote(raw)


def render_page_text(page: Page) -> str:
    """Return a code's doc page as plain text."""
    return _render_page(page, lambda said: said, lambda title: f"{title}:")


def render_page_markdown(page: Page) -> str:
    """Return a code's doc page as Markdown."""
    return _render_page(page, lambda said: f"```yaml\n{said}```", lambda title: f"**{title}**")


def _render_page(page: Page, example: Callable[[str], str], title: Callable[[str], str]) -> str:
    parts = (
        f"{page.code} ({page.level}): {page.title}",
        page.text,
        title("Bad"),
        example(page.bad),
        title("Good"),
        example(page.good),
    )
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"
