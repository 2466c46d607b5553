"""How many generated sets of rules the local mesh and a real istiod answered alike.

`tox -e differential -- --publish` notes it in agreement.ini, with what the sources were then. Once
oracle, translator or reader have changed, the figure is called stale where it is said.
"""

from __future__ import annotations

import configparser
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_FILE = Path(__file__).with_suffix(".ini")
_SECTION = "agreement"
#: What the figure is about -> its sources.
_FOLDERS = {"oracle": "oracle", "translator": "mesh/envoy", "reader": "rules"}


@dataclass(frozen=True)
class Agreement:
    """A figure: so many sets were answered alike by the local mesh and this istiod, by a day.

    `digests` are those of the sources, by the names of _FOLDERS.
    """

    istiod: str
    sets: int
    day: str
    digests: Mapping[str, str]

    def add(self, istiod: str, sets: int, day: date, package: Path = _PACKAGE) -> Agreement:
        """Return the figure with more sets; a new one if istiod or a source is another."""
        digests = compute_digests(package)
        is_same = istiod == self.istiod and digests == self.digests
        return Agreement(istiod, sets + self.sets * is_same, day.isoformat(), digests)

    def describe(self, package: Path = _PACKAGE) -> str:
        """Return the figure as the end of a sentence, with what has changed since; "" for none."""
        if not self.sets:
            return ""
        digests = compute_digests(package)
        changed = [name for name, digest in digests.items() if digest != self.digests.get(name)]
        stale = f"; stale: changed since: {', '.join(changed)}" if changed else ""
        return (
            f"; on {self.sets} generated sets of rules it did as istiod {self.istiod} does "
            f"({self.day}{stale})"
        )

    def write(self, path: Path = _FILE) -> None:
        """Write the figure to its file."""
        parser = configparser.ConfigParser()
        parser[_SECTION] = {
            "istiod": self.istiod,
            "sets": str(self.sets),
            "day": self.day,
            **self.digests,
        }
        with path.open("w", encoding="utf-8") as file:
            parser.write(file, space_around_delimiters=False)


def read_agreement(path: Path = _FILE) -> Agreement:
    """Return the figure in a file; one of no sets where there is none."""
    parser = configparser.ConfigParser()
    parser.read(path, encoding="utf-8")
    if _SECTION not in parser:
        return Agreement("", 0, "", {})
    section = parser[_SECTION]
    digests = {name: section.get(name, "") for name in _FOLDERS}
    return Agreement(section["istiod"], int(section["sets"]), section["day"], digests)


def compute_digests(package: Path = _PACKAGE) -> dict[str, str]:
    """Return what changes with each of the sources."""
    digests = {}
    for name, folder in _FOLDERS.items():
        digest = hashlib.sha256()
        for file in sorted((package / folder).rglob("*.py")):
            digest.update(f"{file.relative_to(package)}\n".encode() + file.read_bytes())
        digests[name] = digest.hexdigest()[:16]
    return digests
