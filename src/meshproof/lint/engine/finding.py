"""What a lint check finds: a stable code, a level, a place, a message, a repair."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from meshproof.documents.manifest import At


class Level(StrEnum):
    """How bad it is: an error is not served as written, a warning mostly not what was meant."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True)
class Hit:
    """A place that a check complains about, in words; the check's module has code and level.

    `suggestion` is the text to write instead, or what to do, in one line.
    """

    at: At
    message: str
    suggestion: str = ""


@dataclass(frozen=True, order=True)
class Finding:
    """A hit with its code and level, as reported."""

    at: At
    code: str
    level: Level
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        repair = f" -> {self.suggestion}" if self.suggestion else ""
        location = f"{self.at.file}:{self.at.line}:{self.at.column}"
        return f"{location}: {self.level} {self.code}: {self.message}{repair}"

    def to_dict(self) -> dict[str, str | int]:
        """Return code, level, file, line, column, message and suggestion, ready for JSON."""
        return {
            "code": self.code,
            "level": str(self.level),
            **self.at._asdict(),
            "message": self.message,
            "suggestion": self.suggestion,
        }
