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
from typing import TypeVar

from tests import ROOT

FOLDERS = ("src/meshproof", "suites", "fixtures", "reports")
Item = TypeVar("Item")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def main(seed: int, count: int) -> None:
    """Print `count` functions, each with its file, signature and docstring."""
    rooms = [shuffled(seed, room) for room in shuffled(seed, list_rooms())]
    picked = [pair for pair in chain.from_iterable(zip_longest(*rooms)) if pair][:count]
    for number, (file, function) in enumerate(picked, start=1):
        arguments = ast.unparse(function.args)
        returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
        sys.stdout.write(f"{number}. {file.relative_to(ROOT)}\n")
        sys.stdout.write(f"   def {function.name}({arguments}){returns}\n")
        for line in (ast.get_docstring(function) or "(no docstring)").splitlines():
            sys.stdout.write(f"       {line}\n".rstrip() + "\n")


def list_rooms() -> list[list[tuple[Path, Function]]]:
    """Return the functions of each room of the engine, and of each other folder."""
    folders = [path for path in sorted((ROOT / FOLDERS[0]).iterdir()) if path.is_dir()]
    folders += [ROOT / folder for folder in FOLDERS[1:]]
    rooms = [
        [(file, function) for file in sorted(folder.rglob("*.py")) for function in functions(file)]
        for folder in folders
    ]
    return [room for room in rooms if room]


def functions(file: Path) -> Iterator[Function]:
    """Yield the functions and methods of a file; special methods say what they do by Python."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, Function) and not node.name.startswith("__"):
            yield node


def shuffled(seed: int, items: list[Item]) -> list[Item]:
    """Return `items` in the order that the seed gives."""
    return random.Random(seed).sample(items, len(items))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 30)
