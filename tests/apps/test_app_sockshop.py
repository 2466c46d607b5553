"""The sock shop: both builds of orders, and the front-end in front of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from meshproof.apps import find_standin

if TYPE_CHECKING:
    from tests.apps.conftest import Start

At = Callable[..., dict[str, str]]


@pytest.mark.parametrize(
    ("image", "total"), [("weaveworksdemos/orders:0.4.7", 104.98), ("namoo4u/orders", 1000)]
)
def test_front_end_passes_on_the_orders_of_each_build(
    start: Start, at: At, image: str, total: float
) -> None:
    build = find_standin(image)
    orders = start("sockshop", *build.args, **build.env)
    front = start("sockshop", "front-end", **at(orders=orders.port))
    answer = front.ask("/orders")
    (order,) = json.loads(answer.text)["_embedded"]["customerOrders"]
    assert (answer.status, order["total"]) == (200, total)
    assert {"id", "customerId", "date", "items"} <= order.keys()
    placed = front.ask("/orders", method="POST", body="{}")
    assert (placed.status, json.loads(placed.text)["total"]) == (201, total)
    assert front.ask("/orders", method="DELETE").status == 405
    assert "<h1>Sock shop</h1>" in front.ask("/").text


def test_front_end_without_orders_answers_502(start: Start, at: At, nowhere: int) -> None:
    answer = start("sockshop", "front-end", **at(orders=nowhere)).ask("/orders")
    assert answer.status == 502
    assert json.loads(answer.text)["error"].startswith("orders cannot be reached: GET http://")
