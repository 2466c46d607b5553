"""What a conversion has to say beside its output: what it could not say, and what to know."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from meshproof.convert.nodes import Node
from meshproof.documents.manifest import At, Value


class Level(StrEnum):
    """An error is a part that is not converted; a note says the same and is worth knowing."""

    ERROR = "error"
    NOTE = "note"


@dataclass(frozen=True, order=True)
class Note:
    """One thing to say about a place of the source."""

    at: At
    level: Level
    message: str

    def __str__(self) -> str:
        return f"{self.at.file}:{self.at.line}:{self.at.column}: {self.level}: {self.message}"


class Notes:
    """Collects notes; what is not converted also stands as a comment in the output."""

    def __init__(self) -> None:
        self.found: list[Note] = []

    def lost(self, value: Value, why: str, node: Node, at: At | None = None) -> None:
        """Note that `value` is not converted, and why, above `node`."""
        place, said = at or value.at, f"{value.where} is not converted: {why}"
        self.found.append(Note(place, Level.ERROR, said))
        node.above.append(f"{place}: {said}")

    def doubt(self, at: At, said: str, node: Node) -> None:
        """Note that the output may say something else than the source, above `node`."""
        self.found.append(Note(at, Level.ERROR, said))
        node.above.append(f"{at}: {said}")

    def known(self, at: At, said: str) -> None:
        """Note something that is worth knowing; nothing is lost."""
        self.found.append(Note(at, Level.NOTE, said))
