"""Findings as text for people, as JSON and as SARIF 2.1.0 for machines."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO

from meshproof import __version__
from meshproof.base import output, sarif
from meshproof.base.errors import EXIT_FINDINGS, EXIT_PASSED
from meshproof.base.escaping import escape_line
from meshproof.documents.manifest import STDIN_NAME
from meshproof.documents.sources import SourceFiles
from meshproof.lint import Page
from meshproof.lint.engine.finding import Finding, Level
from meshproof.lint.engine.folding import fold_by_folder

_STYLES = {Level.ERROR: "bold red", Level.WARNING: "bold yellow", Level.INFO: "bold cyan"}
_SARIF_LEVELS = {Level.ERROR: "error", Level.WARNING: "warning", Level.INFO: "note"}
#: A line of source is shown up to this width.
_MAX_WIDTH = 120

#: Text with the style that rich gives it on a terminal.
Part = tuple[str, str]


def summarize(findings: Sequence[Finding], sources: SourceFiles) -> str:
    """Return the last line: the number of findings of each level, and what was checked."""
    counts = Counter(finding.level for finding in findings)
    object_count, file_count = len(sources.documents), len(sources.texts)
    live_count = sum(file_name.startswith("cluster:") for file_name in sources.texts)
    places = (
        [_format_count(file_count - live_count, "file")]
        if file_count > live_count or not live_count
        else []
    )
    places += ["a cluster"] if live_count else []
    scope = f"{_format_count(object_count, 'object')} in {' and '.join(places)}"
    if not findings:
        return f"Nothing found in {scope}."
    levels = ", ".join(_format_count(counts[level], str(level)) for level in Level if counts[level])
    return f"{levels}. Checked: {scope}."


def _format_count(count: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is 1."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def render_text(findings: Sequence[Finding], sources: SourceFiles) -> Iterator[Part]:
    """Yield the findings with their source lines, then the summary; see `fold_by_folder`."""
    lines_by_file: dict[str, list[str]] = {}
    for finding in fold_by_folder(findings):
        if finding.at.file not in lines_by_file:
            lines_by_file[finding.at.file] = sources.source_lines(finding.at.file)
        yield from _render_finding(finding, lines_by_file[finding.at.file])
    yield summarize(findings, sources) + "\n", "bold"


def _render_finding(finding: Finding, lines: Sequence[str]) -> Iterator[Part]:
    """Yield one finding: its place, message, source line with a caret, and suggestion."""
    yield f"{escape_line(finding.at.file)}:{finding.at.line}:{finding.at.column}: ", "bold"
    yield f"{finding.level} {finding.code}", _STYLES[finding.level]
    yield f": {escape_line(finding.message)}\n", ""
    margin = " " * len(str(finding.at.line))
    source = lines[finding.at.line - 1] if finding.at.line <= len(lines) else ""
    if source.strip():
        snippet, caret = _fit_line(source, finding.at.column)
        yield f"  {finding.at.line} | ", "dim"
        yield f"{snippet}\n", ""
        yield f"  {margin} | ", "dim"
        yield f"{' ' * caret}^\n", _STYLES[finding.level]
    if finding.suggestion:
        yield f"  {margin} = ", "dim"
        yield f"{escape_line(finding.suggestion)}\n", "green"


def _fit_line(source: str, column: int) -> tuple[str, int]:
    """Return a line cut to the width around `column`, and the caret's position below it."""
    source = source.rstrip()
    caret = len(escape_line(source[: column - 1]))
    source = escape_line(source)
    start = max(0, caret - _MAX_WIDTH // 2) if len(source) > _MAX_WIDTH else 0
    snippet = source[start : start + _MAX_WIDTH]
    prefix, suffix = "..." * (start > 0), "..." * (start + _MAX_WIDTH < len(source))
    return f"{prefix}{snippet}{suffix}", caret - start + len(prefix)


def write_parts(parts: Iterator[Part], stream: TextIO) -> None:
    """Write text to a stream, in colour if that is a terminal and NO_COLOR is unset.

    Raises NotReady where the stream takes no more.
    """
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if is_plain or not stream.isatty():
        output.write("".join(part for part, _ in parts), stream)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, highlight=False, soft_wrap=True)
    console.print(Text.assemble(*parts), end="")


def render_json(findings: Sequence[Finding]) -> str:
    """Return the findings as a JSON list of objects."""
    return output.encode_json([finding.to_dict() for finding in findings])


def render_sarif(
    findings: Sequence[Finding],
    sources: SourceFiles,
    pages: Sequence[Page],
    exit_code: int,
) -> str:
    """Return the findings as a SARIF 2.1.0 log with one run. Every code is a rule with help."""
    rule_indexes = {page.code: number for number, page in enumerate(pages)}
    lines_by_file: dict[str, list[str]] = {}
    results = []
    for finding in findings:
        if finding.at.file not in lines_by_file:
            lines_by_file[finding.at.file] = sources.source_lines(finding.at.file)
        results.append(
            _build_result(finding, rule_indexes[finding.code], lines_by_file[finding.at.file])
        )
    rules = [_build_rule(page) for page in pages]
    successful = (EXIT_PASSED, EXIT_FINDINGS)
    return output.encode_json(sarif.build_log(__version__, rules, results, exit_code, successful))


def _build_rule(page: Page) -> dict[str, Any]:
    """Return the SARIF rule for a page."""
    name_words = "".join(
        word[:1].upper() + word[1:] for word in page.title.replace("'", "").split()
    )
    return {
        "id": page.code,
        "name": "".join(word for word in name_words if word.isalnum()),
        "shortDescription": {"text": f"{page.title}."},
        "fullDescription": {"text": page.text.partition("\n\n")[0].replace("\n", " ")},
        "help": {"text": render_page_text(page), "markdown": render_page_markdown(page)},
        "defaultConfiguration": {"level": _SARIF_LEVELS[page.level]},
        "properties": {"tags": ["istio", "routing"]},
    }


def _build_result(finding: Finding, rule_index: int, lines: Sequence[str]) -> dict[str, Any]:
    """Return the SARIF result for a finding."""
    source = lines[finding.at.line - 1] if finding.at.line <= len(lines) else ""
    file = "stdin" if finding.at.file == STDIN_NAME else finding.at.file
    repair = f"\nSuggested: {finding.suggestion}" if finding.suggestion else ""
    region: dict[str, Any] = {"startLine": finding.at.line, "startColumn": finding.at.column}
    if source.strip():
        region["snippet"] = {"text": source}
    return {
        "ruleId": finding.code,
        "ruleIndex": rule_index,
        "level": _SARIF_LEVELS[finding.level],
        "message": {"text": finding.message + repair},
        "locations": [sarif.build_location(file, region)],
        "partialFingerprints": {"codeAndLine/v1": _compute_fingerprint(finding, source)},
    }


def _compute_fingerprint(finding: Finding, source: str) -> str:
    """Return a hash that does not depend on the line, so that an old finding stays known."""
    import hashlib

    identity = f"{finding.code}\n{finding.at.file}\n{source.strip()}\n{finding.message}"
    return hashlib.sha256(identity.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def render_page_text(page: Page) -> str:
    """Return the page of a code as plain text."""
    return _render_page(page, lambda yaml_text: yaml_text, lambda title: f"{title}:")


def render_page_markdown(page: Page) -> str:
    """Return the page of a code as Markdown."""
    return _render_page(
        page, lambda yaml_text: f"```yaml\n{yaml_text}```", lambda title: f"**{title}**"
    )


def _render_page(
    page: Page, format_example: Callable[[str], str], format_title: Callable[[str], str]
) -> str:
    """Return a page, its titles and examples formatted by the functions passed in."""
    parts = (
        f"{page.code} ({page.level}): {page.title}",
        page.text,
        format_title("Bad"),
        format_example(page.bad),
        format_title("Good"),
        format_example(page.good),
    )
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"
