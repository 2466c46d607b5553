"""The terminal: current status, a line per promise as it ends, all failures, the verdict."""

from __future__ import annotations

import atexit
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from meshproof.base.errors import pluralize
from meshproof.base.escaping import escape_line, escape_text
from meshproof.run.broken import BrokenByCause, group_by_cause, has_cause
from meshproof.run.cause import Cause
from meshproof.run.record import SEVERITY, Outcome, Result, Run

from . import _phrases, _rows, _terminal

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
        self._route: _rows.RouteCases | None = None
        self._printed_file = ""

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
        self._run = run
        if run.is_quiet:
            return
        self._print(f"meshproof {run.version}, {run.mesh} mesh", style="bold")
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
        """Show `text` in the status line; where there is none, print it after a long silence."""
        if self._run is None or self._run.is_quiet:
            return
        number = len(self._run.results) + 1
        counter = f"[{number}/{self._run.planned}] " if number <= self._run.planned else ""
        if self._status.update(escape_line(counter + text)) and not self._has_status_line:
            self._print(counter + text, "... ", "dim")

    def finished(self, result: Result) -> None:
        """Print a row for a promise, or for a route once its cases have ended; all of what failed.

        With -v each case has its row, and the statements of its checks below it.
        """
        self._status.update("")
        if self._run and self._run.is_quiet:
            return
        is_verbose = self._run is not None and self._run.is_verbose
        if self._run:
            self._print_facts(self._run)  # a mesh knows its stand-ins only once it is up
        if is_verbose or not result.is_user_case:
            self._end_route()
            self._print_result(result, is_verbose)
            self._print_warnings(result)
        else:
            self._add_to_route(result)
        if result.served and is_verbose:
            self._print_once("settled", _phrases.describe_settling(result.served))

    def _add_to_route(self, result: Result) -> None:
        """Add a case to the row of its route; print it at once where it did not pass."""
        if self._route is None or self._route.route != result.route:
            self._end_route()
            self._route = _rows.RouteCases(result.route)
        self._route.results.append(result)
        if result.outcome is not Outcome.PASSED and not self._is_known_cause(result):
            self._print_result(result, is_verbose=False)

    def _end_route(self) -> None:
        """Print the row of the route whose cases have ended, below the name of its file."""
        route, self._route = self._route, None
        if route is None:
            return
        if route.file and route.file != self._printed_file:
            self._printed_file = route.file
            self._print(route.file)
        worst = min((result.outcome for result in route.results), key=SEVERITY.index)
        row = route.render(self._console.width - 4)
        self._print(row, f"  {_MARKS[worst][self._mark_index]} ", _MARKS[worst][2])
        self._print_shares(route.results, "    ")
        for result in route.results:
            self._print_warnings(result)
        self._status.note_output()

    def _print_warnings(self, result: Result) -> None:
        """Print what lint says of the route of a case, once."""
        for warning in result.warnings:
            self._print_once("lint", str(warning))

    def _print_result(self, result: Result, is_verbose: bool) -> None:
        """Print the row of one promise or case, and what it rests on as far as asked for."""
        if result.is_beyond_mesh and not is_verbose:
            return  # all of them are one line at the end
        mark, colour = _MARKS[result.outcome][self._mark_index], _MARKS[result.outcome][2]
        self._print(self._render_row(result), f"{mark} ", colour)
        lines = [] if self._is_known_cause(result) else _phrases.list_statements(result)
        if cause := _find_cause(result):
            self._known_causes.add(cause)
        if result.outcome is Outcome.NOT_SUPPORTED:
            lines = [result.message]  # the feature, and how to get it
        is_meant = any(check.expects_failure for check in result.checks)
        if result.outcome is Outcome.PASSED and not is_verbose and not is_meant:
            self._print_shares([result], "  ")
        else:
            self._print("\n".join(lines), "  ")
        self._status.note_output()

    def _render_row(self, result: Result) -> str:
        """Return name, outcome and duration in columns; of a user's case its place, too."""
        duration = _phrases.format_duration(result.seconds)
        name_width = min(self._console.width - 2 - 25, NAME_WIDTH)
        name = escape_line(result.name)
        if len(name) <= name_width and not result.is_user_case:
            return f"{name:<{name_width}} {result.outcome:<14} {duration:>9}"
        place = [escape_line(str(result.rule))] if result.rule and result.is_user_case else []
        return "  ".join([name, result.outcome, duration, *place])

    def _print_shares(self, results: Sequence[Result], indent: str) -> None:
        """Print the shares of the largest check of `results` as a bar, where there are shares."""
        self._print(_rows.render_shares(results, draws_unicode=self._mark_index == 0), indent)

    def ended(self, run: Run) -> None:
        """Print every failure in full, then the verdict on the run as the last line."""
        self._stop_status_line()
        if not run.is_quiet:
            self._end_route()
            self._print_facts(run)
            self._print_summary(run)
            self._print_durations(run)
            self._print_failures(run)
            self._console.print()
        duration, requests = _phrases.format_duration(run.seconds), _phrases.count_requests(run)
        verdict_line = (  # one line however long: it is what `| tail -1` shows
            f"{_phrases.render_headline(run)}. {_phrases.render_counts(run)}; "
            f"{pluralize(requests, 'request')} judged in {duration}; reports in {self._folder}"
        )
        self._console.print(escape_line(verdict_line), style=_MARKS[run.outcome][2], soft_wrap=True)
        self._stdout.close()

    def _print_summary(self, run: Run) -> None:
        """Print once for all promises: what was ruled out, and what this mesh cannot have."""
        if run.is_verbose:
            return
        for line in _phrases.list_ruled_out(run):
            self._print_once("ruled out", line)
        if not run.count_supported():  # nothing else says why nothing was checked
            for result in run.results:
                self._print_result(result, is_verbose=True)
        elif names := _phrases.join_not_supported(run):
            self._print_once("not here", f"not supported by this mesh: {names} (-v says why)")

    def _print_durations(self, run: Run) -> None:
        """Print the time of each phase as a bar, if asked for."""
        if not run.shows_durations:
            return
        self._print("time", "  ")
        for row in _rows.list_phases(run.phases, draws_unicode=self._mark_index == 0):
            self._print(row, "    ")

    def _print_failures(self, run: Run) -> None:
        """Print each cause once, then in full what has none."""
        for group in group_by_cause(run):
            self._console.print()
            self._print_cause(group)
        for number, result in enumerate(_find_unsuccessful(run), start=1):
            self._console.print()
            self._print_failure(number, result)

    def _is_known_cause(self, result: Result) -> bool:
        """Say whether a result that was printed has failed by the same cause."""
        return _find_cause(result) in self._known_causes

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
        lines += [("unreached", str(remark)) for remark in run.unreached]
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
        self._shape_since = time.monotonic()
        self._printed = self._shape_since - REPEAT_AFTER  # the first text is printed

    def update(self, text: str) -> bool:
        """Store the new text; return whether a log should print it: after REPEAT_AFTER seconds.

        A text that differs from the last one only in its numbers goes on with its clock.
        """
        now = time.monotonic()
        shape = re.sub(r"\d+", "#", text)
        is_due = bool(text) and now - self._printed >= REPEAT_AFTER
        if shape != self._shape:
            self._shape_since = now
        if is_due:
            self._printed = now
        self._text, self._shape = text, shape
        return is_due

    def note_output(self) -> None:
        """Note that something else was printed: a log is not silent."""
        self._printed = time.monotonic()

    def render(self) -> Text:
        """Return the current line, with spinner and elapsed seconds."""
        from rich.text import Text

        now = time.monotonic()
        frame = self._frames[int(now * 8) % len(self._frames)]
        elapsed = f"  {now - self._shape_since:.0f} s" if now - self._shape_since >= 1 else ""
        return Text(
            f"{frame} {self._text}{elapsed}", no_wrap=True, overflow="ellipsis", style="dim"
        )


def _find_cause(result: Result) -> Cause | None:
    """Return the cause of a failed result, None where none is known."""
    return result.failure.root_cause if result.failure and has_cause(result) else None


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
