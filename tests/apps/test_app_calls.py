"""Calls to other services: headers passed on, the proxy, pooled and stale connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from meshproof.apps.calls import build_service_url, select_forwarded_headers

if TYPE_CHECKING:
    import pytest

    from tests.apps.conftest import Record, Start

At = Callable[..., dict[str, str]]
SENT = {
    "cookie": "a=b; user=burr",
    "x-request-id": "r1",
    "x-b3-traceid": "t1",
    "x-b3-sampled": "1",
    "b3": "t1-s1-1",
    "traceparent": "00-1-2-01",
    "tracestate": "k=v",
    "x-ot-span-context": "o",
    "x-cloud-trace-context": "c",
    "authorization": "Bearer b",
    "user-agent": "browser",
    "x-meshproof-run": "run-7",
}
FRESH = b"HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n" + b'{"ratings": null}'


def test_headers_of_the_visit_reach_the_last_service(
    start: Start, record: Record, at: At, nowhere: int
) -> None:
    last = record()
    reviews = start("bookinfo", "reviews", ENABLE_RATINGS="true", **at(ratings=last.port))
    page = start("bookinfo", "productpage", **at(reviews=reviews.port, details=nowhere))
    page.ask("/productpage", {**SENT, "x-other": "stays here"})
    line, headers, _ = last.asked[0]
    assert line == "GET /ratings/0 HTTP/1.1"
    assert {name: headers.get(name) for name in SENT} == SENT
    assert headers["end-user"] == "burr"
    assert headers["host"] == f"127.0.0.1:{last.port}"
    assert "x-other" not in headers


def test_only_the_named_headers_are_passed_on() -> None:
    headers = {**SENT, "x-b3-parentspanid": "p", "accept": "*/*", "connection": "keep-alive"}
    assert select_forwarded_headers(headers) == {**SENT, "x-b3-parentspanid": "p"}


def test_proxy_gets_the_absolute_form_on_kept_connections(start: Start, record: Record) -> None:
    proxy = record()
    page = start("bookinfo", "productpage", HTTP_PROXY=f"http://127.0.0.1:{proxy.port}")
    for _ in range(3):
        page.ask("/productpage")
    request_lines = [(line, headers["host"]) for line, headers, _ in proxy.asked]
    assert request_lines == 3 * [
        ("GET http://details:9080/details/0 HTTP/1.1", "details:9080"),
        ("GET http://reviews:9080/reviews/0 HTTP/1.1", "reviews:9080"),
    ]
    assert {number for _, _, number in proxy.asked} == {1}


def test_port_80_is_left_out_of_the_host(start: Start, record: Record) -> None:
    proxy = record()
    front = start("sockshop", "front-end", HTTP_PROXY=f"http://127.0.0.1:{proxy.port}")
    assert front.ask("/orders").status == 200
    assert proxy.asked[0][0] == "GET http://orders/orders HTTP/1.1"
    assert proxy.asked[0][1]["host"] == "orders"


def test_stale_pooled_connection_is_replaced_once(start: Start, record: Record, at: At) -> None:
    hang_up = b"HTTP/1.1 200 OK\r\nconnection: hang-up\r\ncontent-length: 2\r\n\r\n{}"
    upstream = record(lambda n: hang_up)
    front = start("sockshop", "front-end", **at(orders=upstream.port))
    assert [front.ask("/orders").status for _ in range(4)] == [200] * 4
    assert [number for _, _, number in upstream.asked] == [1, 2, 3, 4]


def test_fresh_connection_without_an_answer_is_not_tried_again(
    start: Start, record: Record, at: At
) -> None:
    upstream = record(lambda n: b"")
    front = start("sockshop", "front-end", **at(orders=upstream.port))
    answer = front.ask("/orders")
    assert answer.status == 502
    assert "connection closed without an answer" in answer.text
    assert len(upstream.asked) == 1


def test_answer_cut_off_is_not_tried_again(start: Start, record: Record, at: At) -> None:
    cut = b"HTTP/1.1 200 OK\r\nconnection: hang-up\r\ncontent-length: 99\r\n\r\n{"
    upstream = record(lambda n: cut)
    front = start("sockshop", "front-end", **at(orders=upstream.port))
    answer = front.ask("/orders")
    assert (answer.status, len(upstream.asked)) == (502, 1)
    assert "connection closed within the body" in answer.text


def test_chunked_and_unmeasured_answers_are_read(start: Start, record: Record, at: At) -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    chunked += b'3\r\n{"a\r\n2\r\n":\r\n2\r\n1}\r\n0\r\n\r\n'
    till_end = b'HTTP/1.1 200 OK\r\nx: connection: hang-up\r\n\r\n{"a":1}'
    upstream = record(lambda n: chunked if n == 1 else till_end)
    front = start("sockshop", "front-end", **at(orders=upstream.port))
    assert [front.ask("/orders").text for _ in range(2)] == ['{"a":1}'] * 2


def test_service_address_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert build_service_url("details", 9080) == "http://details:9080"
    monkeypatch.setenv("SERVICES_DOMAIN", "bookinfo.svc")
    monkeypatch.setenv("DETAILS_SERVICE_PORT", "81")
    assert build_service_url("details", 9080) == "http://details.bookinfo.svc:81"
    assert build_service_url("orders", 80) == "http://orders.bookinfo.svc"
