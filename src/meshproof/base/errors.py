"""Errors that end a run, each with the exit code of the `meshproof` command."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_PASSED = 0
EXIT_FAILED = 1
EXIT_INTERRUPTED = 2
EXIT_INCONCLUSIVE = 3
EXIT_USAGE = 64
EXIT_BAD_RULES = 65
EXIT_NOT_READY = 69
EXIT_FINDINGS = 79


class MeshproofError(Exception):
    """Something the user can act on; printed as one message, without a traceback."""

    exit_code = EXIT_FAILED
    #: The folder of the evidence that was saved before all was taken down, and lines on what looked
    #: wrong then; empty when there is none.
    diagnosis = ""
    clues = ""


class UsageError(MeshproofError):
    """An option or argument that cannot be used (exit code 64, sysexits EX_USAGE)."""

    exit_code = EXIT_USAGE


class BadRules(MeshproofError):
    """A rule or manifest that cannot be read or served (exit code 65, sysexits EX_DATAERR)."""

    exit_code = EXIT_BAD_RULES
    #: The file that it is about, as messages have it; empty where it is about none.
    file = ""


class Unsupported(BadRules):
    """A rule that may well be right, of which meshproof does not know how to prove something."""


class Missing(BadRules):
    """A rule that names an object which was not read; `namespace` is where that would be."""

    namespace = ""


class Inconclusive(MeshproofError):
    """A promise that cannot be judged: what it needs is broken elsewhere (exit code 3)."""

    exit_code = EXIT_INCONCLUSIVE


class NotReady(MeshproofError):
    """The mesh, an app or an addon did not come up (exit code 69, sysexits EX_UNAVAILABLE)."""

    exit_code = EXIT_NOT_READY


def plural(count: int, noun: str, several: str = "") -> str:
    """Return `1 promise`, `2 promises`; `several` is a plural that does not just add an s."""
    return f"{count} {noun}" if count == 1 else f"{count} {several or f'{noun}s'}"


def nearest(word: str, valid: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the valid word closest to `word`, or an empty string."""
    found = difflib.get_close_matches(word, list(valid), n=1, cutoff=0.6)
    return f"; did you mean '{found[0]}'?" if found else ""
