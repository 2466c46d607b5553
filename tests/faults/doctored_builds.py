"""Builds with a bug: `python -m tests.faults.doctored_builds ROLE`, run as an app of the mesh."""

from __future__ import annotations

import itertools
import sys

from meshproof.apps import bookinfo, calls, serve

_count = itertools.count(1)


def without_cookie(request: serve.Request) -> serve.Response:
    calls.FORWARDED_HEADERS.discard("cookie")
    return bookinfo.answer_productpage(request)


def without_trace(request: serve.Request) -> serve.Response:
    for name in [name for name in request.headers if name.startswith("x-b3-")]:
        del request.headers[name]
    return bookinfo.answer_productpage(request)


def one_in_fifty(request: serve.Request) -> serve.Response:
    if next(_count) % 50 == 0:
        return serve.make_json_response({"error": "no connection to the database left"}, 503)
    return bookinfo.answer_details(request)


def always_503(request: serve.Request) -> serve.Response:
    return serve.make_json_response({"error": "no connection to the database left"}, 503)


ROLES = {
    "productpage-without-cookie": (without_cookie, bookinfo.PORT),
    "productpage-without-trace": (without_trace, bookinfo.PORT),
    "details-503-one-in-fifty": (one_in_fifty, bookinfo.PORT),
    "always-503": (always_503, bookinfo.PORT),
}

if __name__ == "__main__":
    serve.run_role(ROLES, sys.argv[1:])
