"""Makes a set smaller while the difference that it shows stays."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from meshproof.oracle.derive import Call
from tests.differential.generator import GeneratedSet

Path = tuple[str | int, ...]


def reduce(
    generated: GeneratedSet, shows: Callable[[GeneratedSet], bool], budget: int
) -> GeneratedSet:
    """Return a smaller set that still shows it; try `budget` sets at most."""
    current = generated
    has_shrunk = True
    while has_shrunk and budget > 0:
        has_shrunk = False
        for smaller in _list_smaller(current):
            if budget <= 0:
                break
            budget -= 1
            if shows(smaller):
                current, has_shrunk = smaller, True
                break
    return current


def _list_smaller(generated: GeneratedSet) -> Iterator[GeneratedSet]:
    """Yield sets without one object, route, match or field, the largest parts first."""
    objects = generated.objects
    paths = sorted(_iter_paths(list(objects), ()), key=len)
    for path in paths:
        if len(path) == 1 and objects[int(path[0])]["kind"] == "ServiceEntry":
            continue  # without it local takes the host for one that the files leave out
        yield replace(generated, objects=tuple(remove(list(objects), path)))
    for index, call in enumerate(generated.calls):
        for plainer in _list_plainer(call):
            calls = (*generated.calls[:index], plainer, *generated.calls[index + 1 :])
            yield replace(generated, calls=calls)


def _list_plainer(call: Call) -> Iterator[Call]:
    """Yield requests without one header, or of the plain method or path."""
    for name, _ in call.headers:
        yield call.with_header(name, None)
    if call.method != "GET":
        yield replace(call, method="GET")
    if call.path != "/":
        yield replace(call, path="/")


def remove(tree: list[Any], path: Path) -> list[Any]:
    """Return a copy of a tree without what stands at a path."""
    changed = copy.deepcopy(tree)
    node: Any = changed
    for step in path[:-1]:
        node = node[step]
    del node[path[-1]]
    return changed


def _iter_paths(node: Any, path: Path) -> Iterator[Path]:
    """Yield the path of every part that may be taken away: not what names an object."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        own_path = (*path, key)
        if path[-1:] == ("hosts",) and len(node) == 1:
            continue  # nothing is without a host
        if key in ("apiVersion", "kind", "metadata", "selector", "number", "name", "protocol"):
            continue
        if key not in ("spec", "hosts", "host", "destination"):
            yield own_path
        if isinstance(value, dict | list):
            yield from _iter_paths(value, own_path)
