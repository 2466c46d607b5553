"""What is wrong with the form of a document; a check of its own puts each sort into words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from meshproof.documents.manifest import At


class DefectKind(Enum):
    """Sorts of defects, each reported by one check."""

    UNKNOWN_KEY = auto()
    WRONG_CASE = auto()
    WRONG_TYPE = auto()
    WRONG_WORD = auto()
    OUT_OF_RANGE = auto()
    MISSING_KEY = auto()
    NO_TYPE = auto()
    EXCLUSIVE_KEYS = auto()
    EMPTY_LIST = auto()
    NO_VALUE = auto()
    UNKNOWN_KIND = auto()
    UNKNOWN_VERSION = auto()
    NOT_CHECKED = auto()
    OLD_SPELLING = auto()
    OLDER_VERSION = auto()
    GONE_VERSION = auto()


@dataclass(frozen=True)
class Defect:
    """A place whose form is wrong.

    `where` is the path of what is wrong (`spec.http[0]`), `written` what stands there, `meant` what
    should stand there (empty where that is unknown), `how` the repair in one line.
    """

    kind: DefectKind
    at: At
    path: str
    actual: str
    expected: str = ""
    repair: str = ""
