"""Requests around those of the cases: what a match may take, or leave, in another istiod."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from meshproof.oracle.conditions import Call

_OTHER_VALUE = "other"


def list_neighbours(calls: Iterable[Call]) -> list[Call]:
    """Return the requests that differ in one thing from `calls`, without those themselves."""
    calls = dict.fromkeys(calls)
    neighbours = dict.fromkeys(neighbour for call in calls for neighbour in _vary(call))
    return [call for call in neighbours if call not in calls]


def _vary(call: Call) -> Iterator[Call]:
    """Yield a call with another path, method, header or parameter, one at a time."""
    for path in _vary_path(call.path):
        yield replace(call, path=path)
    yield replace(call, method="POST" if call.method == "GET" else "GET")
    for name, value in call.headers:
        if name == "content-type":  # of another type it may be no gRPC, and answered otherwise
            continue
        yield call.with_header(name, None)
        yield call.with_header(name, _OTHER_VALUE)
        yield call.with_header(name, value.swapcase())
    for name, _ in call.query:
        yield call.with_query(name, None)
        yield call.with_query(name, _OTHER_VALUE)
        yield call.with_query(name, "")


def _vary_path(path: str) -> Iterator[str]:
    """Yield paths beside a path: longer, shorter, in other letters, with a doubled slash."""
    yield path.removesuffix("/") or "/"
    yield f"{path.removesuffix('/')}/"
    yield f"{path.removesuffix('/')}/x"
    yield f"{path}x"
    yield path.rpartition("/")[0] or "/"
    yield path.swapcase()
    yield f"/{path}"
