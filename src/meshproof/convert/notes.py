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
        self.entries: list[Note] = []

    def add_unconverted(self, value: Value, reason: str, node: Node, at: At | None = None) -> None:
        """Note that `value` is not converted, and why, above `node`."""
        position, message = at or value.at, f"{value.described_path} is not converted: {reason}"
        self.entries.append(Note(position, Level.ERROR, message))
        node.comments_above.append(f"{position}: {message}")

    def add_doubt(self, at: At, message: str, node: Node) -> None:
        """Note that the output may say something else than the source, above `node`."""
        self.entries.append(Note(at, Level.ERROR, message))
        node.comments_above.append(f"{at}: {message}")

    def add_hint(self, at: At, message: str) -> None:
        """Note something that is worth knowing; nothing is lost."""
        self.entries.append(Note(at, Level.NOTE, message))
