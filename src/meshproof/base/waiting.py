"""Waiting for a state: look again until it is there, or say what was seen last."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from meshproof.base import signals, timeouts
from meshproof.base.errors import NotReady

T = TypeVar("T")


def wait_answered(
    ask: Callable[[], object],
    seconds: float,
    failure: Callable[[str], str],
    watch: Callable[[], None] = lambda: None,
) -> None:
    """Wait until `ask` no longer raises NotReady; ask again until `seconds` are over.

    Raises NotReady with the words of `failure`, which gets those of the last one. `watch`, called
    before each, may raise to end the waiting early.
    """
    last_error = ""

    def look() -> bool | None:
        nonlocal last_error
        watch()
        try:
            ask()
        except NotReady as error:
            last_error = str(error)
            return None
        return True

    wait_for(look, seconds, lambda: failure(last_error), timeouts.POLL_SLOW)


def wait_for(
    look: Callable[[], T | None],
    seconds: float,
    failure: Callable[[], str],
    poll: float = 0,
    may_look_again: Callable[[], bool] = lambda: False,
) -> T:
    """Return what `look` returns once that is not None; look again until `seconds` are over.

    When they are, `may_look_again` says after each look whether there is another one all the same.
    Raises NotReady with the words of `failure`. `look` may raise to end the waiting early.
    """
    import tenacity

    is_over = tenacity.stop_after_delay(seconds)

    def watched() -> T | None:
        if signals.is_ending() and threading.current_thread() is not threading.main_thread():
            raise NotReady("interrupted")  # a signal reaches the main thread only
        return look()

    retrying = tenacity.Retrying(
        stop=lambda state: is_over(state) and not may_look_again(),
        wait=tenacity.wait_fixed(poll or timeouts.POLL),
        retry=tenacity.retry_if_result(lambda result: result is None),
    )
    try:
        result = retrying(watched)
    except tenacity.RetryError:
        result = None
    if result is None:
        raise NotReady(failure())
    return result
