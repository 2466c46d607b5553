"""The terminal: current status, a line per promise as it ends, all failures, the verdict."""

from __future__ import annotations

import atexit
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from meshproof.base.errors import pluralize
from meshproof.base.escaping import escape_line, escape_text
from meshproof.run.broken import BrokenByCause, group_by_cause, has_cause
from meshproof.run.cause import Cause
from meshproof.run.record import Outcome, Result, Run

from . import _phrases, _terminal

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

WIDEST = 110
NAME_WIDTH = 48
PIPE_WIDTH = 100
REPEAT_AFTER = 10.0

# Mark on a terminal, mark elsewhere, colour. The outcome is always printed as a word, too.
_MARKS = {
    Outcome.PASSED: ("✓", "+", "green"),
    Outcome.FAILED: ("✗", "x", "bold red"),
    Outcome.INCONCLUSIVE: ("?", "?", "yellow"),
    Outcome.NOT_SUPPORTED: ("-", "-", "cyan"),
    Outcome.SKIPPED: ("-", "-", "dim"),
    Outcome.MESH_NOT_READY: ("!", "!", "bold magenta"),
    Outcome.INTERNAL_ERROR: ("!", "!", "bold magenta"),
}


class Writer:
    """Prints the run to standard output; the other reports go to `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stdout = _terminal.open_stdout()
        dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
        terminal = self._stdout.isatty() and not dumb
        plain = "NO_COLOR" in os.environ or not self._stdout.encoding.lower().startswith("utf")
        self._mark_index = 0 if terminal and not plain else 1
        self._has_status_line = terminal and "CI" not in os.environ
        self._status = _Status(draws_dots=self._mark_index == 0)
        self._live: Live | None = None
        self._printed_facts: set[str] = set()
        self._run: Run | None = None
        self._known_causes: set[Cause] = set()

    def started(self, run: Run) -> None:
        """Print the mesh and what a pass proves; start the status line."""
        from rich.console import Console

        self._console = Console(
            file=cast("IO[str]", self._stdout),
            width=self._measure_width(),
            markup=False,
            emoji=False,
            highlight=False,
        )
        self._print(f"meshproof {run.version}, {run.mesh} mesh", style="bold")
        self._run = run
        self._print_facts(run)
        if self._has_status_line:
            from rich.live import Live

            # No redirection: pytest owns sys.stdout, and we have our own handle.
            self._live = Live(
                get_renderable=self._status.render,
                console=self._console,
                transient=True,
                refresh_per_second=8,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
            atexit.register(self._stop_status_line)

    def progress(self, text: str) -> None:
        """Show `text` in the status line, or print it if there is no status line."""
        if self._status.update(escape_line(text)) and not self._has_status_line:
            self._print(text, "... ", "dim")

    def finished(self, result: Result) -> None:
        """Print one line for the promise, and below it the statements of its checks."""
        self._status.update("")
        if self._run:
            self._print_facts(self._run)  # a mesh knows its stand-ins only once it is up
        mark, colour = _MARKS[result.outcome][self._mark_index], _MARKS[result.outcome][2]
        duration = _phrases.format_duration(result.seconds)
        name_width = min(self._console.width - 2 - 25, NAME_WIDTH)
        is_user_case = result.rule and not result.dialect  # one of many cases of a user's own rules
        name = escape_line(result.name)
        if len(name) <= name_width and not is_user_case:
            line = f"{name:<{name_width}} {result.outcome:<14} {duration:>9}"
        else:
            place = [escape_line(result.rule)] if is_user_case else []
            line = "  ".join([name, result.outcome, duration, *place])
        self._print(line, f"{mark} ", colour)
        lines = [] if self._is_known_cause(result) else _phrases.list_statements(result)
        if result.outcome is Outcome.NOT_SUPPORTED:
            lines = [result.message]  # the feature, and how to get it
        self._print("\n".join(lines), "  ")
        for warning in result.warnings:
            self._print_once("lint", warning)
        if result.served:
            self._print_once("settled", _phrases.describe_settling(result.served))

    def ended(self, run: Run) -> None:
        """Print every failure in full, then the verdict on the run as the last line."""
        self._stop_status_line()
        self._print_facts(run)
        for group in group_by_cause(run):
            self._console.print()
            self._print_cause(group)
        for number, result in enumerate(_find_unsuccessful(run), start=1):
            self._console.print()
            self._print_failure(number, result)
        self._console.print()
        duration, requests = _phrases.format_duration(run.seconds), _phrases.count_requests(run)
        verdict_line = (  # one line however long: it is what `| tail -1` shows
            f"{_phrases.render_headline(run)}. {_phrases.render_counts(run)}; "
            f"{pluralize(requests, 'request')} judged in {duration}; reports in {self._folder}"
        )
        self._console.print(escape_line(verdict_line), style=_MARKS[run.outcome][2], soft_wrap=True)
        self._stdout.close()

    def _is_known_cause(self, result: Result) -> bool:
        """Say whether an earlier result has failed by the same cause."""
        cause = result.failure.root_cause if result.failure and has_cause(result) else None
        is_known = cause in self._known_causes
        self._known_causes |= {cause} if cause else set()
        return is_known

    def _print_cause(self, group: BrokenByCause) -> None:
        """Print a cause once for all cases that it breaks: at most 12 lines."""
        marks = _MARKS[Outcome.FAILED]
        self._print(
            f"{group.cause.what}  {group.cause.place}", f"{marks[self._mark_index] * 2}  ", marks[2]
        )
        for label, text in _phrases.list_cause_parts(group):
            if label == "see it":
                self._console.print(f"      {label:<8} {escape_line(text)}", soft_wrap=True)
            else:
                self._print(_shorten_lines(text, self._console.width), f"      {label:<8} ")

    def _print_failure(self, number: int, result: Result) -> None:
        """Print one failure with its parts. A curl command is not wrapped, so it can be copied."""
        name = escape_line(result.name)
        self._print(f"{name}: {result.outcome}", f"{number}. ", _MARKS[result.outcome][2])
        for label, text in _phrases.list_parts(result):
            if label == "see it":
                self._console.print(f"   {label:<11} {escape_line(text)}", soft_wrap=True)
            else:
                self._print(text, f"   {label:<11} ")

    def _print_facts(self, run: Run) -> None:
        """Print what a pass proves, the stand-ins and the notes, each once."""
        lines = [("proves", run.proven)]
        lines += [("stand-in", standin) for standin in run.standins]
        lines += [("note", note) for note in run.notes]
        lines += [("unproven", line) for line in run.not_proven]
        lines += [("unreached", line) for line in run.unreached]
        for name, text in lines:
            self._print_once(name, text)

    def _print_once(self, name: str, text: str) -> None:
        """Print `text` with its label, unless it was printed before."""
        if text and text not in self._printed_facts:
            self._printed_facts.add(text)
            self._print(text, f"  {name:<9} ")

    def _print(self, text: str, lead: str = "", style: str = "") -> None:
        """Print `text` after `lead`, wrapped with a hanging indent."""
        from rich.text import Text

        width = max(self._console.width - len(lead), 10)
        for paragraph in escape_text(text).splitlines():
            for line in Text(paragraph).wrap(self._console, width):
                escaped = escape_text(lead + line.plain.rstrip())  # wrapped, it may be a command
                self._console.print(Text(escaped, style), soft_wrap=True)
                lead = " " * len(lead)

    def _measure_width(self) -> int:
        """Return the width for output, in columns."""
        columns = os.environ.get("COLUMNS", "")
        if columns.isdigit() and int(columns):
            return min(int(columns), WIDEST)
        try:
            return min(os.get_terminal_size(self._stdout.fileno()).columns or PIPE_WIDTH, WIDEST)
        except (OSError, ValueError):
            return PIPE_WIDTH

    def _stop_status_line(self) -> None:
        """Remove the status line and show the cursor again."""
        if self._live:
            self._live.stop()
            self._live = None
            atexit.unregister(self._stop_status_line)


class _Status:
    """The status line: what the run does now, in one line that never wraps."""

    def __init__(self, draws_dots: bool) -> None:
        self._frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if draws_dots else "|/-\\"
        self._text = ""
        self._shape = ""
        self._shape_since = self._printed = time.monotonic()

    def update(self, text: str) -> bool:
        """Store the new text; return whether a log should print it.

        A text that differs from the last one only in its numbers is the same line with a new
        count: a log prints it again after REPEAT_AFTER seconds.
        """
        now = time.monotonic()
        shape = re.sub(r"\d+", "#", text)
        is_due = shape != self._shape or now - self._printed >= REPEAT_AFTER
        if shape != self._shape:
            self._shape_since = now
        if is_due:
            self._printed = now
        self._text, self._shape = text, shape
        return is_due and bool(text)

    def render(self) -> Text:
        """Return the current line, with spinner and elapsed seconds."""
        from rich.text import Text

        now = time.monotonic()
        frame = self._frames[int(now * 8) % len(self._frames)]
        elapsed = f"  {now - self._shape_since:.0f} s" if now - self._shape_since >= 1 else ""
        return Text(
            f"{frame} {self._text}{elapsed}", no_wrap=True, overflow="ellipsis", style="dim"
        )


def _shorten_lines(text: str, width: int) -> str:
    """Return a part of a cause in at most two lines."""
    longest = max(2 * (width - 20), 20)
    return text if len(text) <= longest else f"{text[: longest - 4]} ..."


def _find_unsuccessful(run: Run) -> Iterator[Result]:
    """Return the results to print in full: neither passed, unsupported nor skipped.

    Those of one known cause are told by it; where the run is verbose, in full, too.
    """
    quiet = (Outcome.PASSED, Outcome.NOT_SUPPORTED, Outcome.SKIPPED)
    return (
        result
        for result in run.results
        if result.outcome not in quiet and (run.is_verbose or not has_cause(result))
    )
