"""Builds with a bug: `python -m doctored_builds ROLE`, run as an app of the mesh."""

from __future__ import annotations

import itertools
import sys

from meshproof.apps import bookinfo, calls, serve

_count = itertools.count(1)


def without_cookie(request: serve.Request) -> serve.Response:
    calls.PASSED_ON.discard("cookie")
    return bookinfo.productpage(request)


def without_trace(request: serve.Request) -> serve.Response:
    for name in [name for name in request.headers if name.startswith("x-b3-")]:
        del request.headers[name]
    return bookinfo.productpage(request)


def one_in_fifty(request: serve.Request) -> serve.Response:
    if next(_count) % 50 == 0:
        return serve.answer({"error": "no connection to the database left"}, 503)
    return bookinfo.details(request)


ROLES = {
    "productpage-without-cookie": (without_cookie, bookinfo.PORT),
    "productpage-without-trace": (without_trace, bookinfo.PORT),
    "details-503-one-in-fifty": (one_in_fifty, bookinfo.PORT),
}

if __name__ == "__main__":
    serve.main(ROLES, sys.argv[1:])
