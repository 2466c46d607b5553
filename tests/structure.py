"""Prints how the engine hangs together: `python -m tests.structure [SRC]`.

SRC is a folder `src/meshproof` (default: this checkout's). A room is a module or a package directly
below it; an arrow is an import of a module of one room by a module of another.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from tests import ROOT

PACKAGE = "meshproof"


def main(arguments: list[str]) -> None:
    """Print rooms, modules flat in the root, arrows between rooms, files and lines."""
    source = Path(arguments[0]) if arguments else ROOT / "src" / PACKAGE
    files = sorted(source.rglob("*.py"))
    lines = sum(file.read_text(encoding="utf-8").count("\n") for file in files)
    rooms = {find_room(source, file) for file in files}
    flat = [file for file in files if file.parent == source and file.stem != "__init__"]
    arrows = {arrow for file in files for arrow in list_arrows(source, file)}
    pairs = {(importer.split(".")[0], imported.split(".")[0]) for importer, imported in arrows}
    sys.stdout.write(
        f"{len(files)} files, {lines} lines; {len(rooms)} rooms, {len(flat)} modules flat; "
        f"{len(arrows)} arrows between modules of different rooms, {len(pairs)} between rooms\n"
    )


def find_room(source: Path, file: Path) -> str:
    """Return the room of a file: the first part of its path below `source`."""
    return file.relative_to(source).parts[0].removesuffix(".py")


def list_arrows(source: Path, file: Path) -> Iterator[tuple[str, str]]:
    """Yield (importer, imported), as dotted names below the package, for other rooms alone."""
    importer = ".".join(file.relative_to(source).with_suffix("").parts)
    for module in list_imports(file):
        parts = module.split(".")[1:]
        while parts and not is_module(source, parts):
            parts.pop()
        if parts and parts[0] != find_room(source, file):
            yield importer, ".".join(parts)


def list_imports(file: Path) -> Iterator[str]:
    """Yield the dotted name of everything of ours that a file imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and not node.level:
            module = node.module or ""
            if module.split(".")[0] == PACKAGE:
                yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] == PACKAGE)


def is_module(source: Path, parts: list[str]) -> bool:
    """Say whether dotted `parts` name a module or a package below `source`."""
    path = source.joinpath(*parts)
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


if __name__ == "__main__":
    main(sys.argv[1:])
