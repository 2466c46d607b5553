"""Wait for a state: look again until it is reached, or report the last failure."""

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
    """Wait until `ask` no longer raises NotReady; call it again until `seconds` are over.

    Then raises NotReady with the message of `failure`, which gets the last error's text. `watch` is
    called before each try and may raise to end the waiting early.
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
    """Return the first result of `look` that is not None; try again until `seconds` are over.

    After that, `may_look_again` is called after each try and may allow another one. Raises NotReady
    with the message of `failure`. `look` may raise to end the waiting early.
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
