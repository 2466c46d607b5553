"""Notes of a conversion: what could not be converted, and what is worth knowing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from meshproof.convert.nodes import Node
from meshproof.documents.manifest import At, Value


class Level(StrEnum):
    """An error is a part that is not converted; a note is worth knowing, nothing is lost."""

    ERROR = "error"
    NOTE = "note"


@dataclass(frozen=True, order=True)
class Note:
    """A message about a place of the source."""

    at: At
    level: Level
    message: str

    def __str__(self) -> str:
        return f"{self.at.file}:{self.at.line}:{self.at.column}: {self.level}: {self.message}"


class Notes:
    """Collects notes; errors also become comments in the output."""

    def __init__(self) -> None:
        self.entries: list[Note] = []

    def add_unconverted(self, value: Value, reason: str, node: Node, at: At | None = None) -> None:
        """Note above `node` that `value` is not converted, and why."""
        position, message = at or value.at, f"{value.described_path} is not converted: {reason}"
        self.entries.append(Note(position, Level.ERROR, message))
        node.comments_above.append(f"{position}: {message}")

    def add_doubt(self, at: At, message: str, node: Node) -> None:
        """Note above `node` that the output may mean something else than the source."""
        self.entries.append(Note(at, Level.ERROR, message))
        node.comments_above.append(f"{at}: {message}")

    def add_hint(self, at: At, message: str) -> None:
        """Note something that is worth knowing; nothing is lost."""
        self.entries.append(Note(at, Level.NOTE, message))
