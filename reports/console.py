"""The terminal: what is going on, a line per promise as it ends, every failure, one verdict."""

from __future__ import annotations

import atexit
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from meshproof.base.errors import plural
from meshproof.run.record import Outcome, Result, Run

from . import _terminal, _words

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

WIDEST = 110
NAME_WIDTH = 48
PIPE_WIDTH = 100
REPEAT_AFTER = 10.0

# Mark on a terminal, mark elsewhere, colour. The outcome is always there as a word, too.
_LOOK = {
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
        self._out = _terminal.open_stdout()
        dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
        terminal = self._out.isatty() and not dumb
        plain = "NO_COLOR" in os.environ or not self._out.encoding.lower().startswith("utf")
        self._mark = 0 if terminal and not plain else 1
        self._lively = terminal and "CI" not in os.environ
        self._status = _Status(lively_dots=self._mark == 0)
        self._live: Live | None = None
        self._told: set[str] = set()
        self._run: Run | None = None

    def started(self, run: Run) -> None:
        """Say which mesh this is and what its green is worth; start the status line."""
        from rich.console import Console

        self._console = Console(
            file=cast("IO[str]", self._out),
            width=self._width(),
            markup=False,
            emoji=False,
            highlight=False,
        )
        self._say(f"meshproof {run.version}, {run.mesh} mesh", style="bold")
        self._run = run
        self._tell(run)
        if self._lively:
            from rich.live import Live

            # Not redirecting: a test runner owns sys.stdout, and we have our own handle.
            self._live = Live(
                get_renderable=self._status.render,
                console=self._console,
                transient=True,
                refresh_per_second=8,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
            atexit.register(self._still)

    def progress(self, text: str) -> None:
        """Show `text` in the status line, or print it where there is none."""
        if self._status.update(_words.clean(text)) and not self._lively:
            self._say(text, "... ", "dim")

    def finished(self, result: Result) -> None:
        """Print one line for the promise, and under it what the verdict rests on."""
        self._status.update("")
        if self._run:
            self._tell(self._run)  # a mesh knows its stand-ins only once it is up
        mark, colour = _LOOK[result.outcome][self._mark], _LOOK[result.outcome][2]
        took = _words.seconds(result.seconds)
        room = min(self._console.width - 2 - 25, NAME_WIDTH)
        own = result.rule and not result.dialect  # one of many cases of a user's own rules
        if len(result.name) <= room and not own:
            line = f"{result.name:<{room}} {result.outcome:<14} {took:>9}"
        else:
            line = "  ".join([result.name, result.outcome, took, *([result.rule] if own else [])])
        self._say(line, f"{mark} ", colour)
        said = _words.said(result)
        if result.outcome is Outcome.NOT_SUPPORTED:
            said = result.reason.splitlines()  # the feature, and how to get it
        self._say("\n".join(said), "  ")
        if result.served:
            self._once("settled", _words.settled(result.served))

    def ended(self, run: Run) -> None:
        """Print every failure whole, then the verdict on the run as the last line."""
        self._still()
        self._tell(run)
        for number, result in enumerate(_troubles(run), start=1):
            self._console.print()
            self._trouble(number, result)
        self._console.print()
        took, requests = _words.seconds(run.seconds), _words.requests(run)
        last = (  # one line however long: it is what `| tail -1` shows
            f"{_words.headline(run)}. {_words.counts(run)}; "
            f"{plural(requests, 'request')} judged in {took}; reports in {self._folder}"
        )
        self._console.print(_words.clean(last), style=_LOOK[run.outcome][2], soft_wrap=True)
        self._out.close()

    def _trouble(self, number: int, result: Result) -> None:
        """Print one failure with its parts. A command line is never broken: it is to be copied."""
        self._say(f"{result.name}: {result.outcome}", f"{number}. ", _LOOK[result.outcome][2])
        for label, text in _words.parts(result):
            if label == "see it":
                self._console.print(f"   {label:<11} {_words.clean(text)}", soft_wrap=True)
            else:
                self._say(text, f"   {label:<11} ")

    def _tell(self, run: Run) -> None:
        """Print what green proves and what stands in for what, each once."""
        lines = [("proves", run.proven)]
        lines += [("stand-in", standin) for standin in run.standins]
        lines += [("note", note) for note in run.notes]
        for name, text in lines:
            self._once(name, text)

    def _once(self, name: str, text: str) -> None:
        """Print a line below its name, unless it stands there already."""
        if text and text not in self._told:
            self._told.add(text)
            self._say(text, f"  {name:<9} ")

    def _say(self, text: str, lead: str = "", style: str = "") -> None:
        """Print `text` behind `lead`, wrapped so that every further line starts below the first."""
        from rich.text import Text

        room = max(self._console.width - len(lead), 10)
        for paragraph in _words.clean(text).splitlines():
            for line in Text(paragraph).wrap(self._console, room):
                self._console.print(Text(lead + line.plain.rstrip(), style), soft_wrap=True)
                lead = " " * len(lead)

    def _width(self) -> int:
        columns = os.environ.get("COLUMNS", "")
        if columns.isdigit() and int(columns):
            return min(int(columns), WIDEST)
        try:
            return min(os.get_terminal_size(self._out.fileno()).columns or PIPE_WIDTH, WIDEST)
        except (OSError, ValueError):
            return PIPE_WIDTH

    def _still(self) -> None:
        """Take the status line away and give the cursor back."""
        if self._live:
            self._live.stop()
            self._live = None
            atexit.unregister(self._still)


class _Status:
    """What is going on now, as one line that never wraps."""

    def __init__(self, lively_dots: bool) -> None:
        self._frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if lively_dots else "|/-\\"
        self._text = ""
        self._shape = ""
        self._since = self._printed = time.monotonic()

    def update(self, text: str) -> bool:
        """Take the new text; return whether a log should show it.

        A text that differs from the last one in its numbers only is the same line counting on:
        a log gets it again after REPEAT_AFTER seconds.
        """
        now = time.monotonic()
        shape = re.sub(r"\d+", "#", text)
        fresh = shape != self._shape or now - self._printed >= REPEAT_AFTER
        if shape != self._shape:
            self._since = now
        if fresh:
            self._printed = now
        self._text, self._shape = text, shape
        return fresh and bool(text)

    def render(self) -> Text:
        """Return the line for this moment."""
        from rich.text import Text

        now = time.monotonic()
        frame = self._frames[int(now * 8) % len(self._frames)]
        took = f"  {now - self._since:.0f} s" if now - self._since >= 1 else ""
        return Text(f"{frame} {self._text}{took}", no_wrap=True, overflow="ellipsis", style="dim")


def _troubles(run: Run) -> Iterator[Result]:
    quiet = (Outcome.PASSED, Outcome.NOT_SUPPORTED, Outcome.SKIPPED)
    return (result for result in run.results if result.outcome not in quiet)
