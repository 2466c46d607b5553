"""Rows of the console: what was seen as a bar, a route of the user's rules with all its cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meshproof.base.errors import pluralize
from meshproof.run.record import Check, Outcome, Result
from meshproof.verdict.phrases import format_answers, format_percent

from ._phrases import format_duration

BAR_WIDTH = 20
#: The columns of the bar of a phase that takes the whole time.
PHASE_WIDTH = 40
#: Signs of a bar's versions in turn, where the terminal draws Unicode and elsewhere.
_UNICODE_SIGNS, _ASCII_SIGNS = "█░▓▒", "#-=."


@dataclass
class RouteCases:
    """The cases of one route of the user's rules that have ended so far."""

    route: str
    results: list[Result] = field(default_factory=list)

    @property
    def broken(self) -> list[Result]:
        """The cases that did not pass."""
        return [result for result in self.results if result.outcome is not Outcome.PASSED]

    @property
    def file(self) -> str:
        """The file of the route, as given by the user."""
        return self._own_case.rule.file if self._own_case.rule else ""

    @property
    def _own_case(self) -> Result:
        """The case that stands for the route.

        What just misses an earlier route ends here, too, with a place there: the last place counts.
        """
        return max(self.results, key=_get_line)

    def render(self, width: int) -> str:
        """Return the row: its own case, how many cases, line in the file; `width` columns."""
        cases = pluralize(len(self.results), "case")
        if self.broken:
            cases = f"{len(self.broken)} of {cases} not passed"
        line = _get_line(self._own_case)
        place = f":{line}" if line else ""
        tail = f"  {cases:>9} {place:>6}".rstrip()
        room = max(width - len(tail), 10)
        return f"{_shorten(self._own_case.promise, room):<{room}}{tail}"


def _get_line(result: Result) -> int:
    """Return the line of a result's rule (0: not known)."""
    return result.rule.line if result.rule else 0


def render_shares(results: Sequence[Result], *, draws_unicode: bool) -> str:
    """Return a bar and the shares of the check with most answers of several versions; else ""."""
    checks = [check for result in results for check in result.checks if _has_shares(check)]
    if not checks:
        return ""
    largest = max(checks, key=lambda check: check.verdict.n)
    return f"{_render_bar(largest, draws_unicode)}  {_describe_shares(largest)}"


def list_phases(phases: Mapping[str, float], *, draws_unicode: bool) -> list[str]:
    """Return a row for each phase, in the order given: name, seconds and its part as a bar."""
    whole = sum(phases.values())
    sign = (_UNICODE_SIGNS if draws_unicode else _ASCII_SIGNS)[0]
    return [
        f"{name:<9} {format_duration(seconds):>9}  {sign * round(PHASE_WIDTH * seconds / whole)}"
        for name, seconds in phases.items()
    ]


def _has_shares(check: Check) -> bool:
    """Say whether answers of several versions were seen."""
    return sum(count > 0 for count in check.verdict.counts.values()) > 1


def _describe_shares(check: Check) -> str:
    """Return `v1 49.8 %, v2 50.2 % of 370 answers`."""
    verdict = check.verdict
    shares = (
        f"{version} {format_percent(count / verdict.n)}"
        for version, count in verdict.counts.items()
    )
    return f"{', '.join(shares)} of {format_answers(verdict.n)}"


def _render_bar(check: Check, draws_unicode: bool) -> str:
    """Return the shares of the answers as a bar of BAR_WIDTH columns, rounded at their borders."""
    signs = _UNICODE_SIGNS if draws_unicode else _ASCII_SIGNS
    bar, seen = "", 0
    for position, count in enumerate(check.verdict.counts.values()):
        seen += count
        border = round(BAR_WIDTH * seen / check.verdict.n)
        bar += signs[position % len(signs)] * (border - len(bar))
    return bar


def _shorten(text: str, width: int) -> str:
    """Return `text` in at most `width` columns."""
    return text if len(text) <= width else f"{text[: width - 3].rstrip()}..."
