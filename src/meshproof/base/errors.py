"""The errors that end a run, each with the exit code of the `meshproof` command."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable

from meshproof.base.clues import Clue
from meshproof.base.escaping import escape_text

EXIT_PASSED = 0
EXIT_FAILED = 1
EXIT_INTERRUPTED = 2
EXIT_INCONCLUSIVE = 3
EXIT_USAGE = 64
EXIT_BAD_RULES = 65
EXIT_NOT_READY = 69
EXIT_INTERNAL = 70
EXIT_FINDINGS = 79

#: What each exit code of the command means; `--help` and docs/reference/exit-codes.md show it.
EXIT_CODES = {
    EXIT_PASSED: "passed",
    EXIT_FAILED: "failed",
    EXIT_INTERRUPTED: "interrupted",
    EXIT_INCONCLUSIVE: "inconclusive or not all proven",
    EXIT_USAGE: "usage",
    EXIT_BAD_RULES: "bad rule file",
    EXIT_NOT_READY: "mesh not ready",
    EXIT_INTERNAL: "internal error",
    EXIT_FINDINGS: "lint findings",
}
#: If several of them hold, the first of these counts. An interruption or an error of our own code
#: comes before a verdict, since the verdicts beside it may be wrong, too.
PRECEDENCE = (
    EXIT_INTERRUPTED,
    EXIT_INTERNAL,
    EXIT_FAILED,
    EXIT_USAGE,
    EXIT_BAD_RULES,
    EXIT_NOT_READY,
    EXIT_FINDINGS,
    EXIT_INCONCLUSIVE,
    EXIT_PASSED,
)
#: The text about an error of our own code, in every report and on standard error.
REPORT_IT = (
    "This is an error of meshproof or of this machine: it says nothing about your mesh. If this "
    "machine is not short of disk space, memory or threads, please report it to this project's "
    "issue tracker, with all of this text."
)


class MeshproofError(Exception):
    """An error that the user can act on; printed as one message, without a traceback.

    Its text has nothing that a terminal or a CI log would obey.
    """

    exit_code = EXIT_FAILED
    #: The folder of the evidence that was saved before the mesh ended, and what looked
    #: wrong then; empty if there is none.
    diagnosis = ""
    clues: tuple[Clue, ...] = ()

    def __str__(self) -> str:
        return escape_text(super().__str__())


class UsageError(MeshproofError):
    """An option or argument that cannot be used (exit code 64, sysexits EX_USAGE)."""

    exit_code = EXIT_USAGE


class BadRules(MeshproofError):
    """A rule or manifest that cannot be read or served (exit code 65, sysexits EX_DATAERR)."""

    exit_code = EXIT_BAD_RULES
    #: The file with the error, as messages name it, and the place in it (from 1), empty and 0 if it
    #: is about no file; which of several objects rendered from there; what is wrong there, and the
    #: path of the value that it is about, empty where it is none.
    file = ""
    line = 0
    column = 0
    origin = ""
    reason = ""
    path = ""


class Absent(BadRules):
    """A rule without something that it must have."""


class Unsupported(BadRules):
    """A rule that may be right, but that meshproof cannot prove in full."""


class Missing(BadRules):
    """A rule that names an object which was not read; `namespace` is the object's."""

    namespace = ""


class UndefinedSubset(Missing):
    """A destination whose subset no DestinationRule defines. The rest of its route is read.

    `has_rule` says that some DestinationRule is for its host.
    """

    has_rule = False


def label_evidence(expected: str, observed: str, curl: str) -> list[tuple[str, str]]:
    """Return what is known of a failure, each part with its label, in reading order."""
    parts = (("expected", expected), ("observed", observed), ("see it", curl))
    return [(label, text) for label, text in parts if text]


class EvidenceError(Exception):
    """An error with its evidence as fields; text of them is for where nothing records it.

    `summary` says in one line what happened, `expected` and `observed` what was to come and what
    came, `curl` is a command line that shows it. All but `summary` may be empty.
    """

    def __init__(
        self, summary: str, expected: str = "", observed: str = "", curl: str = ""
    ) -> None:
        super().__init__(summary)
        self.summary, self.expected, self.observed, self.curl = summary, expected, observed, curl

    def __str__(self) -> str:
        parts = label_evidence(self.expected, self.observed, self.curl)
        lines = [self.summary, *(f"{label}: {text}" for label, text in parts)]
        return escape_text("\n".join(lines))


class TlsFailed(EvidenceError, AssertionError):
    """No TLS came about with a gateway that must speak it: a finding.

    With `is_refused` the gateway ended it, else the client did not take its certificate.
    """

    def __init__(self, summary: str, observed: str, curl: str, is_refused: bool) -> None:
        super().__init__(summary, "TLS with a certificate for that name", observed, curl)
        self.is_refused = is_refused


class Inconclusive(EvidenceError, MeshproofError):
    """A promise that cannot be judged, because what it needs is broken elsewhere (exit code 3)."""

    exit_code = EXIT_INCONCLUSIVE


class NotReady(MeshproofError):
    """The mesh, an app or an addon did not start (exit code 69, sysexits EX_UNAVAILABLE)."""

    exit_code = EXIT_NOT_READY


class ProcessEnded(NotReady):
    """A process of the run's own (an app, a proxy, a probe) has ended: nothing is known since."""


class ProxyCrashed(MeshproofError):
    """A proxy has crashed by itself while it served the rules it was given: a finding."""


def choose_exit_code(codes: Iterable[int]) -> int:
    """Return the exit code for a run that ended with all of `codes`: the first by precedence."""
    return min(codes, key=PRECEDENCE.index)


def describe_exit_codes() -> str:
    """Return the text about exit codes at the end of every `--help`."""
    meanings = ", ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items())
    order = ", ".join(str(code) for code in PRECEDENCE)
    return f"exit codes: {meanings}. Where several hold, the first of these counts: {order}."


def describe_internal_error(error: BaseException) -> str:
    """Return the message about an unexpected exception: what it is, and what to do."""
    return f"internal error: {describe_exception(error)}\n{REPORT_IT}"


def describe_exception(error: BaseException) -> str:
    """Return an exception in one line: its type and its text."""
    return traceback.format_exception_only(error)[-1].strip()


def pluralize(count: int, noun: str, several: str = "") -> str:
    """Return `1 promise`, `2 promises`; `several` is an irregular plural."""
    return f"{count} {noun}" if count == 1 else f"{count} {several or f'{noun}s'}"


def suggest_nearest(word: str, valid: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the valid word closest to `word`, or an empty string."""
    matches = difflib.get_close_matches(word, list(valid), n=1, cutoff=0.6)
    return f"; did you mean '{matches[0]}'?" if matches else ""
