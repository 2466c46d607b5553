"""Prints functions without their bodies: `python -m tests.pick_functions SEED [COUNT]`.

A reader who has not seen the code says what each does: 9 of 10 answers should be right.
The functions are spread over the rooms: one of each in turn.
"""

from __future__ import annotations

import ast
import random
import sys
from collections.abc import Iterator
from itertools import chain, zip_longest
from pathlib import Path
from typing import NamedTuple, TypeVar

from tests import ROOT

FOLDERS = ("src/meshproof", "suites", "fixtures", "reports")
Item = TypeVar("Item")


class Function(NamedTuple):
    """A function or method of a file, its name behind those of its classes."""

    file: Path
    name: str
    node: ast.FunctionDef | ast.AsyncFunctionDef


def main(seed: int, count: int) -> None:
    """Print `count` functions, each with its file, signature and docstring."""
    rooms = [shuffled(seed, room) for room in shuffled(seed, list_rooms())]
    picked = [function for function in chain.from_iterable(zip_longest(*rooms)) if function]
    for number, (file, name, node) in enumerate(picked[:count], start=1):
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        sys.stdout.write(f"{number}. {file.relative_to(ROOT)}\n")
        sys.stdout.write(f"   def {name}({ast.unparse(node.args)}){returns}\n")
        for line in (ast.get_docstring(node) or "(no docstring)").splitlines():
            sys.stdout.write(f"       {line}\n".rstrip() + "\n")


def list_rooms() -> list[list[Function]]:
    """Return the functions of each room of the engine, and of each other folder."""
    folders = [path for path in sorted((ROOT / FOLDERS[0]).iterdir()) if path.is_dir()]
    folders += [ROOT / folder for folder in FOLDERS[1:]]
    rooms = [
        [function for file in sorted(folder.rglob("*.py")) for function in list_functions(file)]
        for folder in folders
    ]
    return [room for room in rooms if room]


def list_functions(file: Path) -> Iterator[Function]:
    """Yield the functions and methods of a file.

    Special methods say what they do by Python; a function inside another is read together with it.
    """
    yield from _find_functions(file, ast.parse(file.read_text(encoding="utf-8")), "")


def _find_functions(file: Path, parent: ast.AST, prefix: str) -> Iterator[Function]:
    """Yield the functions below a node; `prefix` names the classes around it."""
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.ClassDef):
            yield from _find_functions(file, node, f"{prefix}{node.name}.")
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _find_functions(file, node, prefix)
        elif not node.name.startswith("__"):
            yield Function(file, prefix + node.name, node)


def shuffled(seed: int, items: list[Item]) -> list[Item]:
    """Return `items` in the order that the seed gives."""
    return random.Random(seed).sample(items, len(items))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 30)
