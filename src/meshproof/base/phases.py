"""Where the time of a run goes: a clock that always runs for exactly one phase."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")


class Phase(StrEnum):
    """What a run does; each moment belongs to one phase."""

    START = "start"
    RULES = "rules"
    SETTLING = "settling"
    REQUESTS = "requests"
    JUDGING = "judging"
    ADDONS = "addons"
    REMOVAL = "removal"
    OTHER = "other"


class PhaseClock:
    """Adds up the seconds of each phase. Of phases within one another the innermost counts.

    Only the thread that made the clock is timed: what others do meanwhile takes no time of its own.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._thread = threading.get_ident()
        self._current = Phase.OTHER
        self._since = now()
        self._seconds = dict.fromkeys(Phase, 0.0)

    @contextlib.contextmanager
    def measure(self, phase: Phase) -> Iterator[None]:
        """Let the time in this context count for `phase`."""
        if threading.get_ident() != self._thread:
            yield
            return
        outer = self._switch(phase)
        try:
            yield
        finally:
            self._switch(outer)

    @contextlib.contextmanager
    def around(
        self, context: AbstractContextManager[T], opening: Phase, closing: Phase
    ) -> Iterator[T]:
        """Enter a context; opening and closing it count for these phases, not what is within."""
        with ExitStack() as stack:
            closing_clock = ExitStack()
            stack.push(closing_clock)  # left last
            with self.measure(opening):
                value = stack.enter_context(context)
            stack.callback(lambda: closing_clock.enter_context(self.measure(closing)))
            yield value

    def move(self, source: Phase, target: Phase, seconds: float) -> None:
        """Count seconds of `source` for `target` instead; at most those that it has."""
        moved = min(seconds, self._seconds[source])
        self._seconds[source] -= moved
        self._seconds[target] += moved

    def read(self) -> dict[Phase, float]:
        """Return the seconds of each phase so far; together they are the age of the clock."""
        self._switch(self._current)
        return dict(self._seconds)

    def _switch(self, phase: Phase) -> Phase:
        """Let `phase` begin now; return the one that ends."""
        now, former = self._now(), self._current
        self._seconds[former] += now - self._since
        self._current, self._since = phase, now
        return former
