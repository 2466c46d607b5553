"""Writes constraints for pip: `python -m tests.versions.dependencies lowest|installed FILE`.

lowest: the lowest version of each dependency that pyproject.toml allows. installed: the version of
everything that meshproof needs at run time, as it is installed here.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
#: What the file begins with.
HEAD = """\
# What meshproof is tested with: `pip install -c constraints.txt .` installs these versions.
# Made by `tox -e constraints` on Linux with Python 3.11.
"""


def read_dependencies() -> list[Requirement]:
    """Return what pyproject.toml names as needed at run time."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [Requirement(text) for text in project["dependencies"]]


def list_lowest_versions() -> Iterator[str]:
    """Yield each dependency with the lowest version that is allowed."""
    for dependency in read_dependencies():
        (version,) = [bound.version for bound in dependency.specifier if bound.operator == ">="]
        yield f"{dependency.name}=={version}"


def list_installed_versions() -> Iterator[str]:
    """Yield each distribution that meshproof needs, directly or not, with its version here."""
    pending, names = read_dependencies(), set[str]()
    while pending:
        requirement = pending.pop()
        marker, name = requirement.marker, canonicalize_name(requirement.name)
        if name not in names and (marker is None or marker.evaluate({"extra": ""})):
            names.add(name)
            pending += [Requirement(text) for text in requires(name) or ()]
    yield from (f"{name}=={distribution(name).version}" for name in sorted(names))


def write_constraints(kind: str, path: Path) -> None:
    """Write the constraints that are called `kind` to a file."""
    lines, head = (
        (list_lowest_versions(), "") if kind == "lowest" else (list_installed_versions(), HEAD)
    )
    path.write_text(head + "".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    write_constraints(sys.argv[1], Path(sys.argv[2]))
