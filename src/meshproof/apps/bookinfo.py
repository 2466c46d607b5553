"""The Bookinfo services: `python -m meshproof.apps.bookinfo productpage|details|reviews|ratings`.

Paths, JSON, environment and failures are those of the official images, so that the same check works
for both. Texts and page are our own.
"""

from __future__ import annotations

import json
import os
import sys
from urllib.parse import parse_qs, quote

from meshproof.apps import page, serve
from meshproof.apps.calls import CallFailed, Reply, build_service_url, send_request
from meshproof.apps.http1 import Headers

PORT = 9080
RATINGS_DOWN = {"error": "Ratings service is currently unavailable"}
REVIEWS = (
    ("Reviewer1", "Two pairs of twins and one long misunderstanding. I laughed on every page."),
    ("Reviewer2", "Quick, light and funny. The later plays go deeper, few of them go faster."),
)


def answer_details(request: serve.Request) -> serve.Response:
    """GET /details/{id}: the facts about one book."""
    match request.path_parts:
        case ["details", number] if number.isdecimal():
            return serve.make_json_response(
                {
                    "id": int(number),
                    "author": "William Shakespeare",
                    "year": 1595,
                    "type": "paperback",
                    "pages": 200,
                    "publisher": "PublisherA",
                    "language": "English",
                    "ISBN-10": "1234567890",
                    "ISBN-13": "123-1234567890",
                }
            )
        case ["details", *_]:
            return serve.make_json_response({"error": "please provide numeric product id"}, 400)
    return serve.make_not_found(request)


def answer_ratings(request: serve.Request) -> serve.Response:
    """GET /ratings/{id}: the stars that each reviewer gave."""
    match request.path_parts:
        case ["ratings", number] if number.isdecimal():
            return serve.make_json_response(
                {"id": int(number), "ratings": {"Reviewer1": 5, "Reviewer2": 4}}
            )
        case ["ratings", *_]:
            return serve.make_json_response({"error": "please provide numeric product ID"}, 400)
    return serve.make_not_found(request)


def answer_reviews(request: serve.Request) -> serve.Response:
    """GET /reviews/{id}: v1 has no stars; v2 and v3 get theirs from ratings."""
    match request.path_parts:
        case ["reviews", number] if number.isdecimal():
            return _make_reviews(number, request.forwarded_headers)
    return serve.make_not_found(request)


def _make_reviews(number: str, headers: Headers) -> serve.Response:
    """Return the reviews of a book, with stars if this version has them."""
    entries: list[dict[str, object]] = [{"reviewer": who, "text": text} for who, text in REVIEWS]
    if os.environ.get("ENABLE_RATINGS", "").lower() == "true":
        color = os.environ.get("STAR_COLOR", "black")
        stars = _request_stars(number, headers, timeout=10.0 if color == "black" else 2.5)
        for review in entries:
            rating_stars = stars.get(str(review["reviewer"]))
            rating = (
                {"stars": rating_stars, "color": color}
                if rating_stars is not None
                else RATINGS_DOWN
            )
            review["rating"] = rating
    return serve.make_json_response(
        {
            "id": number,
            "podname": serve.read_pod_name(),
            "clustername": os.environ.get("CLUSTER_NAME", "null"),
            "reviews": entries,
        }
    )


def _request_stars(number: str, headers: Headers, *, timeout: float) -> dict[str, int]:
    """Return reviewer -> stars; empty if ratings has no usable response."""
    url = f"{build_service_url('ratings', PORT)}/ratings/{number}"
    try:
        reply = send_request(url, headers, timeout=timeout)
        if reply.status != 200:
            raise CallFailed(f"GET {url}: status {reply.status}")
        ratings = json.loads(reply.body)["ratings"]
        return {str(who): int(stars) for who, stars in ratings.items()}
    except (CallFailed, ValueError, KeyError, AttributeError, TypeError) as error:
        sys.stderr.write(f"no ratings: {error}\n")
        return {}


def answer_productpage(request: serve.Request) -> serve.Response:
    """Show the page, sign users in and out, and offer the API of the other services."""
    match (request.method, request.path_parts):
        case ("POST", ["login"]):
            return _sign_in(request)
        case (_, ["login"]):
            return serve.make_not_allowed(request, "POST")
        case (_, ["logout"]):
            return _redirect_to_page("user=; Path=/; HttpOnly; Max-Age=0")
        case ("GET" | "HEAD", parts):
            return _answer_get(request, parts)
    return serve.make_not_allowed(request, "GET")


def _answer_get(request: serve.Request, parts: list[str]) -> serve.Response:
    """Answer a GET: the index, the page or the API."""
    match parts:
        case [] | ["index.html"]:
            return serve.Response(page.render_index(), content_type=serve.HTML)
        case ["productpage"]:
            return _make_front_page(request)
        case ["api", "v1", "products"]:
            return serve.make_json_response([page.PRODUCT])
        case ["api", "v1", "products", number]:
            return _forward_reply(_request_part(request, "details", number))
        case ["api", "v1", "products", number, ("reviews" | "ratings") as part]:
            return _forward_reply(_request_part(request, part, number))
    return serve.make_not_found(request)


def _make_front_page(request: serve.Request) -> serve.Response:
    """Answer 200 whatever the other services do; the page says what is missing."""
    html = page.render_productpage(
        user=request.cookie("user"),
        details=page.Part(_request_part(request, "details", "0")),
        reviews=page.Part(_request_part(request, "reviews", "0")),
        pod=serve.read_pod_name(),
        version=serve.read_version(),
    )
    return serve.Response(html, content_type=serve.HTML, headers={"cache-control": "no-store"})


def _request_part(request: serve.Request, name: str, number: str) -> Reply:
    """Return a service's response; an error instead if its status is not 200.

    Reviews are requested twice, with 3 s each: a known flaw of the official page that the
    fault-injection task of Istio's documentation relies on.
    """
    headers = request.forwarded_headers
    user = request.cookie("user")
    if user:
        headers["end-user"] = user
    url = f"{build_service_url(name, PORT)}/{name}/{number}"
    status = 500
    for _ in range(2 if name == "reviews" else 1):
        try:
            reply = send_request(url, headers)
            if reply.status == 200:
                return reply
            status, reason = reply.status, f"GET {url}: status {reply.status}"
        except CallFailed as error:
            status, reason = 500, str(error)
        sys.stderr.write(f"no {name}: {reason}\n")
    error_text = f"Sorry, product {name} are currently unavailable for this book."
    return Reply(status, {}, json.dumps({"error": error_text}).encode())


def _forward_reply(reply: Reply) -> serve.Response:
    """Return another service's JSON as our response."""
    return serve.Response(reply.body, status=reply.status, content_type=serve.JSON)


def _sign_in(request: serve.Request) -> serve.Response:
    """Sign in as anybody: the name becomes the cookie that users' rules route on."""
    names = parse_qs(request.body.decode("utf-8", "replace")).get("username", [""])
    name = quote(names[0].strip()[:64], safe="@")
    return _redirect_to_page(f"user={name}; Path=/; HttpOnly" if name else None)


def _redirect_to_page(cookie: str | None) -> serve.Response:
    """Redirect to the page, with a cookie if there is one."""
    headers = {"location": "/productpage"}
    if cookie:
        headers["set-cookie"] = cookie
    return serve.Response("", status=302, headers=headers)


ROLES = {
    "productpage": (answer_productpage, PORT),
    "details": (answer_details, PORT),
    "reviews": (answer_reviews, PORT),
    "ratings": (answer_ratings, PORT),
}

if __name__ == "__main__":
    serve.run_role(ROLES, sys.argv[1:])
