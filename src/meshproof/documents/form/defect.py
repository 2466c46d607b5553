"""Defects: what is wrong with the form of a document. One check reports each kind."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from meshproof.documents.manifest import At


class DefectKind(Enum):
    """The kinds of defects. Each is reported by one check."""

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

    `path` is where it stands (`spec.http[0]`), `actual` the text there. `expected` is the right
    text or type, empty where unknown. `repair` says in one line what to write. `choices` are the
    valid words where the text is none of them.
    """

    kind: DefectKind
    at: At
    path: str
    actual: str
    expected: str = ""
    repair: str = ""
    choices: tuple[str, ...] = ()
