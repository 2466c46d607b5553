"""Samples that are sent from elsewhere: judged as those that are sent from here."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from meshproof.base.errors import NotReady
from meshproof.mesh.http import HttpRequest, HttpResponse, LossReason, NoResponse
from meshproof.mesh.protocol import Address
from meshproof.traffic.sender import Sampling
from meshproof.traffic.visits import Visits

THERE = Address("reviews.shop", 9080)


class Elsewhere:
    """Responds with the path and a number; loses the requests of these numbers."""

    def __init__(self, *lost: int) -> None:
        self.batches: list[list[HttpRequest]] = []
        self._lost = set(lost)
        self._number = 0

    def send(
        self, address: Address, requests: Sequence[HttpRequest], workers: int, keep_alive: bool
    ) -> list[HttpResponse | NoResponse]:
        assert (address, workers, keep_alive) == (THERE, 4, True)
        self.batches.append(list(requests))
        return [self._respond(request) for request in requests]

    def _respond(self, request: HttpRequest) -> HttpResponse | NoResponse:
        self._number += 1
        if self._number - 1 in self._lost:
            return NoResponse(LossReason.ENDED, "connection reset")
        headers = {"x-number": str(self._number - 1)}
        return HttpResponse(request, 200, headers, request.path.encode(), 0.1)

    def describe_command(self, curl: str) -> str:
        return f"elsewhere {curl}"


def visits(sender: Elsewhere, *kinds: HttpRequest, batch: int = 4) -> Visits:
    kinds = kinds or (HttpRequest("/"),)
    return Visits(THERE, kinds, "run-1", Sampling(batch=batch), sender=sender)


def test_a_batch_is_sent_at_once_and_kinds_take_turns() -> None:
    sender = Elsewhere()
    sample = visits(
        sender, HttpRequest("/a", (("Cookie", "user=burr"),)), HttpRequest("/b", extra_seconds=3.0)
    )
    responses = sample.take(6)
    assert [response.text for response in responses] == ["/a", "/b"] * 3
    assert [len(batch) for batch in sender.batches] == [4, 4]
    first, second = sender.batches[0][:2]
    assert first.headers == (("x-meshproof-run", "run-1"), ("Cookie", "user=burr"))
    assert second.max_seconds == first.max_seconds + 3.0
    assert sample.curl == "elsewhere curl -i -H 'Cookie: user=burr' http://reviews.shop:9080/a"


def test_a_request_with_a_mark_of_its_own_has_no_other() -> None:
    sender = Elsewhere()
    visits(sender, HttpRequest("/", (("X-Meshproof-Run", "mine"),)), batch=1).take(1)
    assert sender.batches[0][0].headers == (("X-Meshproof-Run", "mine"),)


def test_lost_requests_are_sent_again_and_counted() -> None:
    sample = visits(Elsewhere(1, 3))
    responses = sample.take(4)
    assert [response.headers["x-number"] for response in responses] == ["0", "4", "2", "5"]
    assert sample.transport_errors == 2


def test_a_resent_request_gets_a_new_number() -> None:
    sender = Elsewhere(1, 3)
    responses = visits(sender, HttpRequest("/", numbered_header=("x-name", "mine"))).take(4)
    first, *again = (
        [dict(request.headers)["x-name"] for request in batch] for batch in sender.batches
    )
    assert len({*first, *again[0], *again[1]}) == 6
    names = [dict(response.request.headers)["x-name"] for response in responses]
    assert names == [first[0], *again[0], first[2], *again[1]]


def test_a_request_without_any_response_ends_the_sample() -> None:
    with pytest.raises(NotReady, match=r"reviews\.shop:9080/: no answer: ended: connection reset"):
        visits(Elsewhere(0, 1, 2), batch=1).take(1)
    with pytest.raises(NotReady, match="6 requests got no answer at all"):
        visits(Elsewhere(*range(6)), batch=6).take(1)
