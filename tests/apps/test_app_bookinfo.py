"""Bookinfo: the JSON, the page, what it shows when a part is missing, and signing in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.apps.conftest import App, Record, Start

At = Callable[..., dict[str, str]]
POD = re.compile(r"Reviews served by:\s*<u>([\w.-]+)</u>")
STARS = re.compile(r'class="flex gap-x-1 text-(\w+)-500"')


@pytest.fixture
def shop(start: Start, at: At) -> Callable[..., App]:
    """Start the four services, reviews as the given version with its pod name."""

    def begin(version: str, **env: str) -> App:
        ratings = start("bookinfo", "ratings")
        details = start("bookinfo", "details", HOSTNAME="details-v1-abc", SERVICE_VERSION="v1")
        pod = f"reviews-{version}-xyz"
        places = at(ratings=ratings.port)
        reviews = start("bookinfo", "reviews", HOSTNAME=pod, **env, **places)
        places |= at(details=details.port, reviews=reviews.port)
        return start("bookinfo", "productpage", HOSTNAME="productpage-v1-def", **places)

    return begin


@pytest.mark.parametrize(
    ("version", "env", "colors"),
    [
        ("v1", {}, []),
        ("v2", {"ENABLE_RATINGS": "true"}, ["black", "black"]),
        ("v3", {"ENABLE_RATINGS": "true", "STAR_COLOR": "red"}, ["red", "red"]),
    ],
)
def test_each_version_of_reviews_shows_on_the_page(
    shop: Callable[..., App], version: str, env: dict[str, str], colors: list[str]
) -> None:
    answer = shop(version, **env).ask("/productpage")
    assert answer.status == 200
    assert "Book Details" in answer.text
    assert "Book Reviews" in answer.text
    assert "Error fetching" not in answer.text
    assert POD.findall(answer.text) == [f"reviews-{version}-xyz"]
    assert STARS.findall(answer.text) == colors
    assert re.findall(r"text-\w+-500", answer.text) == [f"text-{c}-500" for c in colors]
    assert "details-v1-abc" in answer.text
    assert "productpage-v1-def" in answer.text


def test_api_answers_what_the_services_answer(shop: Callable[..., App]) -> None:
    page = shop("v3", ENABLE_RATINGS="TRUE", STAR_COLOR="red")
    products = json.loads(page.ask("/api/v1/products").text)
    assert [(product["id"], product["title"]) for product in products] == [
        (0, "The Comedy of Errors")
    ]
    details = json.loads(page.ask("/api/v1/products/0").text)
    assert details["ISBN-13"] == "123-1234567890"
    assert details["author"] == "William Shakespeare"
    reviews = json.loads(page.ask("/api/v1/products/0/reviews").text)
    assert (reviews["id"], reviews["podname"]) == ("0", "reviews-v3-xyz")
    assert reviews["clustername"] == "null"
    assert [review["rating"] for review in reviews["reviews"]] == [
        {"stars": 5, "color": "red"},
        {"stars": 4, "color": "red"},
    ]
    ratings = json.loads(page.ask("/api/v1/products/0/ratings").text)
    assert ratings == {"id": 0, "ratings": {"Reviewer1": 5, "Reviewer2": 4}}


def test_reviews_v1_asks_nobody(start: Start, record: Record, at: At) -> None:
    ratings = record()
    answer = start("bookinfo", "reviews", **at(ratings=ratings.port)).ask("/reviews/0")
    assert all("rating" not in review for review in json.loads(answer.text)["reviews"])
    assert ratings.asked == []


@pytest.mark.parametrize("status", [None, 503, 200])
def test_ratings_without_a_usable_answer(
    start: Start, record: Record, at: At, nowhere: int, status: int | None
) -> None:
    reply = b"HTTP/1.1 %d X\r\ncontent-length: 4\r\n\r\nnope" % (status or 0)
    port = record(lambda n: reply).port if status else nowhere
    reviews = start("bookinfo", "reviews", ENABLE_RATINGS="true", **at(ratings=port))
    answer = reviews.ask("/reviews/0")
    assert answer.status == 200
    assert [review["rating"] for review in json.loads(answer.text)["reviews"]] == [
        {"error": "Ratings service is currently unavailable"}
    ] * 2


def test_page_answers_200_and_says_so_when_parts_are_down(
    start: Start, record: Record, at: At, nowhere: int
) -> None:
    failing = record(lambda n: b"HTTP/1.1 503 Down\r\ncontent-length: 0\r\n\r\n")
    page = start("bookinfo", "productpage", **at(details=nowhere, reviews=failing.port))
    answer = page.ask("/productpage")
    assert answer.status == 200
    assert "Error fetching product reviews!" in answer.text
    assert "Error fetching product details!" in answer.text
    assert "Book Reviews" not in answer.text
    assert "Book Details" not in answer.text
    assert "Reviews served by" not in answer.text
    assert len(failing.asked) == 2  # like the official page, which asks reviews twice
    assert page.ask("/api/v1/products/0").status == 500
    down = page.ask("/api/v1/products/0/reviews")
    assert down.status == 503
    assert "reviews are currently unavailable" in json.loads(down.text)["error"]


def test_reviews_that_are_not_json_are_an_error_on_the_page(
    start: Start, record: Record, at: At
) -> None:
    html = record(lambda n: b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n<b/>")
    page = start("bookinfo", "productpage", **at(details=html.port, reviews=html.port))
    answer = page.ask("/productpage")
    assert answer.status == 200
    assert "Error fetching product reviews!" in answer.text


@pytest.mark.parametrize(
    ("typed", "cookie", "name_on_page"),
    [
        ("username=burr&passwd=x", "user=burr", "burr"),
        ("username=a%3Cb%3E%26%22", "user=a%3Cb%3E%26%22", "a&lt;b&gt;&amp;&quot;"),
        ("username=x%0d%0aset-cookie:+y", "user=x%0D%0Aset-cookie%3A%20y", "x\r\nset-cookie: y"),
    ],
)
def test_sign_in_sets_the_cookie_and_the_page_shows_it(
    start: Start, at: At, nowhere: int, typed: str, cookie: str, name_on_page: str
) -> None:
    page = start("bookinfo", "productpage", **at(details=nowhere, reviews=nowhere))
    answer = page.ask("/login", method="POST", body=typed)
    assert (answer.status, answer.headers["location"]) == (302, "/productpage")
    assert answer.headers["set-cookie"] == f"{cookie}; Path=/; HttpOnly"
    assert f"signed in as {name_on_page} <a" in page.ask("/productpage", {"cookie": cookie}).text


def test_sign_out_and_what_is_not_there(start: Start) -> None:
    page = start("bookinfo", "productpage")
    out = page.ask("/logout", {"cookie": "user=burr"})
    assert (out.status, out.headers["location"]) == (302, "/productpage")
    assert out.headers["set-cookie"].startswith("user=; Path=/; ")
    assert "set-cookie" not in page.ask("/login", method="POST").headers
    assert page.ask("/login").status == 405
    assert page.ask("/static/x.css").status == 404
    assert '<a href="/productpage">' in page.ask("/").text
    assert start("bookinfo", "details").ask("/details/x").status == 400
    assert start("bookinfo", "ratings").ask("/ratings/x").status == 400
    assert start("bookinfo", "reviews").ask("/reviews/x").status == 404
