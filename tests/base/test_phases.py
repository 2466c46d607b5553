"""The clock of a run: each moment counts for one phase, the innermost."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest

from meshproof.base.phases import Phase, PhaseClock


class Clock:
    """A time that tests set."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def test_each_moment_counts_for_the_innermost_phase() -> None:
    now = Clock()
    clock = PhaseClock(now)
    now.time += 1
    with clock.measure(Phase.JUDGING):
        now.time += 2
        with clock.measure(Phase.REQUESTS):
            now.time += 4
        now.time += 8
    now.time += 16
    seconds = clock.read()
    assert (seconds[Phase.OTHER], seconds[Phase.JUDGING], seconds[Phase.REQUESTS]) == (17, 10, 4)
    assert sum(seconds.values()) == 31


def test_a_phase_ends_with_an_error_in_it() -> None:
    now = Clock()
    clock = PhaseClock(now)
    with contextlib.suppress(ValueError), clock.measure(Phase.RULES):
        now.time += 2
        raise ValueError
    now.time += 1
    assert clock.read()[Phase.RULES] == 2


@pytest.mark.parametrize("is_broken", [False, True])
def test_opening_and_closing_count_and_not_what_is_within(is_broken: bool) -> None:
    now = Clock()
    clock = PhaseClock(now)

    @contextlib.contextmanager
    def mesh() -> Iterator[str]:
        now.time += 1
        try:
            yield "mesh"
        finally:
            now.time += 2

    with contextlib.suppress(ValueError), clock.around(mesh(), Phase.START, Phase.REMOVAL) as value:
        assert value == "mesh"
        now.time += 4
        if is_broken:
            raise ValueError
    now.time += 8
    seconds = clock.read()
    assert (seconds[Phase.START], seconds[Phase.REMOVAL], seconds[Phase.OTHER]) == (1, 2, 12)


def test_no_more_is_moved_than_there_is() -> None:
    now = Clock()
    clock = PhaseClock(now)
    with clock.measure(Phase.RULES):
        now.time += 3
    clock.move(Phase.RULES, Phase.SETTLING, 1)
    clock.move(Phase.RULES, Phase.SETTLING, 9)
    seconds = clock.read()
    assert (seconds[Phase.RULES], seconds[Phase.SETTLING]) == (0, 3)


def test_another_thread_takes_no_time_of_its_own() -> None:
    now = Clock()
    clock = PhaseClock(now)

    def work() -> None:
        with clock.measure(Phase.REQUESTS):
            now.time += 5

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    seconds = clock.read()
    assert (seconds[Phase.REQUESTS], seconds[Phase.OTHER]) == (0, 5)
