"""What a check reports: a code, a level, a place, a message, a repair."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from meshproof.base.errors import BadRules, describe_exception
from meshproof.documents.manifest import At


class Level(StrEnum):
    """How bad a finding is. ERROR: the mesh does not do it. WARNING: probably not intended."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Hit:
    """A place that a check complains about. The check has the code, its page the level.

    `suggestion` is the text to write instead, or what to do, in one line. `level` is that of this
    place where it is not the one of the page.
    """

    at: At
    message: str
    suggestion: str = ""
    level: Level | None = None


def build_unchecked_hit(subject: str, error: Exception, at: At) -> Hit:
    """Return the hit for an error that ended a check; `at` is its place if the error has none.

    Raises MemoryError: that is no fault of the files.
    """
    if isinstance(error, MemoryError):
        raise error
    if isinstance(error, BadRules) and error.file:
        at = At(error.file, error.line, error.column)
        return Hit(at, f"could not check {subject}: {error.reason}")
    summary = f"could not check {subject}: {describe_exception(error)}"
    return Hit(at, summary, "report it to meshproof's issue tracker, with the object")


@dataclass(frozen=True, order=True, slots=True)
class Finding:
    """A hit with the code and level of its check."""

    at: At
    code: str
    level: Level
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        """Return the finding as `file:line:column: level code: message -> suggestion`."""
        repair = f" -> {self.suggestion}" if self.suggestion else ""
        location = f"{self.at.file}:{self.at.line}:{self.at.column}"
        return f"{location}: {self.level} {self.code}: {self.message}{repair}"

    def to_dict(self) -> dict[str, str | int]:
        """Return code, level, file, line, column, message and suggestion, ready for JSON."""
        return {
            "code": self.code,
            "level": str(self.level),
            "file": self.at.file,
            "line": self.at.line,
            "column": self.at.column,
            "message": self.message,
            "suggestion": self.suggestion,
        }
