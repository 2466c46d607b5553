"""`-o github`: the console with an annotation at the place of each problem, and a step summary.

The commands are those of GitHub's documentation, "Workflow commands for GitHub Actions". A step
shows ten errors and ten warnings; the others are in the log.
"""

from __future__ import annotations

import os
from pathlib import Path

from meshproof.base.escaping import escape_line, escape_text
from meshproof.run.record import Result, Run

from . import _phrases, _terminal, console
from ._problems import Problem, list_problems

#: A variable that names the file of the step's summary, and how many problems it has at most.
_SUMMARY, _MAX_SUMMARY = "GITHUB_STEP_SUMMARY", 50


class Writer:
    """Prints what the console does, with the annotations before its last line."""

    def __init__(self, folder: Path) -> None:
        self._stdout = _terminal.open_stdout()
        self._console = console.Writer(folder)

    def started(self, run: Run) -> None:
        """Print the mesh and what a pass proves."""
        self._console.started(run)

    def progress(self, text: str) -> None:
        """Print what is going on, after a long silence."""
        self._console.progress(text)

    def finished(self, result: Result) -> None:
        """Print a row for a promise or a route."""
        self._console.finished(result)

    def ended(self, run: Run) -> None:
        """Print the annotations, then the verdict; add to the step's summary where GitHub asks.

        Raises OSError where the summary cannot be written.
        """
        problems = list_problems(run)
        for problem in problems:
            self._stdout.write(f"{_format_annotation(problem)}\n")
        self._stdout.close()
        self._console.ended(run)
        if path := os.environ.get(_SUMMARY):
            with open(path, "a", encoding="utf-8", errors="backslashreplace") as summary:
                summary.write(_render_summary(run, problems))


def _format_annotation(problem: Problem) -> str:
    """Return the command that annotates a place."""
    properties = {"title": f"meshproof {problem.name}"}
    if problem.file:
        properties = {"file": problem.file, "line": str(problem.line or 1)} | properties
    listed = ",".join(f"{name}={_escape_property(text)}" for name, text in properties.items())
    message = _escape_message(f"{problem.title}\n{problem.text}")
    return f"::{problem.level} {listed}::{message}"


def _escape_message(text: str) -> str:
    """Return a message with what GitHub decodes: % and the ends of lines."""
    return escape_text(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    """Return the value of a property; a colon and a comma would end it."""
    return _escape_message(escape_line(text)).replace(":", "%3A").replace(",", "%2C")


def _render_summary(run: Run, problems: list[Problem]) -> str:
    """Return the summary of a run as Markdown."""
    lines = [
        f"### meshproof: {_escape_markdown(_phrases.render_headline(run))}",
        "",
        f"{_escape_markdown(_phrases.render_counts(run))}; mesh `{run.mesh}`.",
        "",
    ]
    if problems:
        lines += ["| | place | what |", "| --- | --- | --- |"]
    for problem in problems[:_MAX_SUMMARY]:
        place = f"{problem.file}:{problem.line}" if problem.line else problem.file
        cells = (str(problem.level), place, problem.title)
        lines.append(f"| {' | '.join(map(_escape_markdown, cells))} |")
    if len(problems) > _MAX_SUMMARY:
        lines += ["", f"and {len(problems) - _MAX_SUMMARY} more"]
    return "\n".join(lines) + "\n"


def _escape_markdown(text: str) -> str:
    """Return text that Markdown shows letter by letter, in one line."""
    escaped = escape_line(text).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{letter}" if letter in r"\`*_[]|#!~" else letter for letter in escaped)
