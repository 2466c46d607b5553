"""Waiting for a service: it is tried until it answers; the last error is in the message."""

from __future__ import annotations

import pytest

from meshproof.base.errors import NotReady
from meshproof.base.waiting import wait_answered


def test_it_is_asked_until_it_answers() -> None:
    errors = ["refused", "starting"]

    def ask() -> None:
        if errors:
            raise NotReady(errors.pop(0))

    wait_answered(ask, 10, lambda last: f"it was {last} to the end")
    assert errors == []


def test_the_last_words_are_told() -> None:
    errors = ["refused"]

    def ask() -> None:
        raise NotReady(errors.pop() if errors else "starting")

    with pytest.raises(NotReady, match=r"^no answer: starting$"):
        wait_answered(ask, 0.5, lambda last: f"no answer: {last}")


def test_who_watches_ends_it_early() -> None:
    def ask() -> None:
        raise NotReady("starting")

    def watch() -> None:
        raise NotReady("its process has ended")

    with pytest.raises(NotReady, match=r"^its process has ended$"):
        wait_answered(ask, 60, lambda last: last, watch)
