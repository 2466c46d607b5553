"""The record of a run: what every report reads, and the outcomes."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from meshproof.base import errors
from meshproof.base.clues import Clue
from meshproof.base.escaping import escape_text
from meshproof.base.place import Place
from meshproof.mesh.protocol import Served
from meshproof.run.cause import Cause
from meshproof.run.failure import Failure
from meshproof.run.remark import Remark
from meshproof.verdict import Outcome as Judged
from meshproof.verdict import Verdict


class Outcome(StrEnum):
    """How a promise ended. Only PASSED is green; the words are the same in every report."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    NOT_SUPPORTED = "not supported"
    SKIPPED = "skipped"
    MESH_NOT_READY = "mesh not ready"
    INTERNAL_ERROR = "internal error"


#: The outcomes, the worst first: what has two of them has the worse one.
SEVERITY = (
    Outcome.INTERNAL_ERROR,
    Outcome.FAILED,
    Outcome.MESH_NOT_READY,
    Outcome.INCONCLUSIVE,
    Outcome.NOT_SUPPORTED,
    Outcome.SKIPPED,
    Outcome.PASSED,
)


@dataclass(frozen=True)
class Check:
    """One judged statement within a promise.

    `name` says what was judged ("user=burr goes to v3"), `by` which app's answer gave the label,
    `curl` is a command line that shows one such request, `transport_errors` counts requests that
    got no answer at all (they are never judged as versions), `sampling` says how the requests
    were sent (connections, workers). `expects_failure` says that the verdict must be failed: the
    test shows what does not hold. `unnamed` says what the answers without a version were ("3 were
    HTTP 503, empty").
    """

    name: str
    by: str
    curl: str
    verdict: Verdict
    transport_errors: int = 0
    sampling: str = ""
    expects_failure: bool = False
    unnamed: str = ""

    @property
    def is_as_expected(self) -> bool:
        """Whether the verdict is the one that the test expects; an inconclusive one never is."""
        return self.outcome_for_test is Judged.PASSED

    @property
    def outcome_for_test(self) -> Judged:
        """What the verdict means for the test: where it expects a failure, that is a pass."""
        if not self.expects_failure:
            return self.verdict.outcome
        swapped = {Judged.FAILED: Judged.PASSED, Judged.PASSED: Judged.FAILED}
        return swapped.get(self.verdict.outcome, self.verdict.outcome)

    @property
    def statement(self) -> str:
        """What the verdict rests on, in one line; with its outcome where a failure is expected."""
        statement = "; ".join(part for part in (self.verdict.statement, self.unnamed) if part)
        if not self.expects_failure:
            return statement
        outcome = f"{self.verdict.outcome}, " + ("as" if self.is_as_expected else "not failed as")
        return f"{outcome} this test expects: {statement}"


@dataclass(frozen=True)
class Result:
    """What became of one promise in one dialect.

    `promise` is its name ("v3 only"), `title` the sentence that it keeps, `dialect` the language of
    its rules ("VirtualService", "RouteRule" or "" without rules), `rule` the place of the rule,
    `failure` says why it was not kept (None where it was), `reason` why it was skipped or is not
    supported ("" else), `how_to_get` what to do about that ("" for nothing), `seconds` the time it
    took, `exit_code` that of the error that ended it (0: none of its own), `served` how the mesh
    had settled before the first request was judged (None: it had not, or the test has no mesh),
    `requests` how many requests the test sent for its samples, `route` names the route of the
    user's rules that its case is of ("" for none). `code` is that of the lint finding that it
    reports in place of a case, `warnings` are what lint says of its route. `features` names what
    it needs of the mesh ("http-weights", "addon jaeger"), `rule_text` has the lines of the rule.
    """

    promise: str
    title: str
    outcome: Outcome
    dialect: str = ""
    failure: Failure | None = None
    reason: str = ""
    how_to_get: str = ""
    rule: Place | None = None
    checks: tuple[Check, ...] = ()
    seconds: float = 0.0
    exit_code: int = 0
    served: Served | None = None
    requests: int = 0
    route: str = ""
    code: str = ""
    warnings: tuple[Remark, ...] = ()
    features: tuple[str, ...] = ()
    rule_text: str = ""

    @property
    def name(self) -> str:
        """Name of the promise with its dialect, as printed: `v3 only (RouteRule)`."""
        return f"{self.promise} ({self.dialect})" if self.dialect else self.promise

    @property
    def is_user_case(self) -> bool:
        """Whether it is one of the cases of the user's own rules."""
        return bool(self.route or (self.rule and not self.dialect))

    @property
    def is_beyond_mesh(self) -> bool:
        """Whether this mesh cannot have the promise, and no rule of the user's asks for it."""
        is_asked_for = self.is_needed or self.is_user_case
        return self.outcome is Outcome.NOT_SUPPORTED and not is_asked_for

    @property
    def is_needed(self) -> bool:
        """Whether a run without this promise must not be green, though nothing was broken."""
        return self.exit_code == errors.EXIT_INCONCLUSIVE

    @property
    def summary(self) -> str:
        """What happened, in one line: of the failure, the reason, or what the checks rest on."""
        if self.failure:
            return self.failure.summary
        if self.reason:
            return self.reason.splitlines()[0]
        return "; ".join(check.statement for check in self.checks)

    @property
    def parts(self) -> list[tuple[str, str]]:
        """What is known of the result, each part with its label, in reading order."""
        rule = f"rule at {self.rule}" if self.rule else ""
        promise = ", ".join(part for part in (self.title, rule) if part)
        lack = [("cause", self.reason), ("get it", self.how_to_get)]
        known = self.failure.parts if self.failure else lack
        return [(label, text) for label, text in [("promise", promise), *known] if text]

    @property
    def message(self) -> str:
        """The whole text of the failure, or the reason; empty where the promise was kept."""
        if self.failure is None:
            return ". ".join(part for part in (self.reason, self.how_to_get) if part)
        lines = [f"{label}: {text}" for label, text in self.parts if label != "cause"]
        return escape_text("\n".join([self.failure.cause or self.failure.summary, *lines]))

    @property
    def diagnosis(self) -> str:
        """The folder with the evidence of the failure; empty where there is none."""
        return self.failure.diagnosis if self.failure else ""


@dataclass
class Run:
    """The whole run: what was asked, on which mesh, what it proves, and every result.

    `proven` is the backend's sentence on what a green run proves, `standins` names each part that
    stands in for an official one, `command` reproduces the run, `started` is an ISO 8601 time,
    `seconds` the wall time, `not_proven` has a line for each part of the user's rules that no
    request proves, `unreached` one for each route that no request reaches, `error` the message of
    an error that ended the whole run, else empty. With `is_verbose` every broken case is told in
    full, also those of one cause; with `is_quiet` the console has one line. `planned` is how many
    tests the run has (0: not known yet). `phases` are the seconds that each phase took (their sum
    is about `seconds`); with `shows_durations` the console has them, too. `supports` are the
    features that the mesh has.
    """

    version: str
    mesh: str
    proven: str
    command: str
    started: str
    standins: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    not_proven: list[str] = field(default_factory=list)
    unreached: list[Remark] = field(default_factory=list)
    is_verbose: bool = False
    is_quiet: bool = False
    planned: int = 0
    results: list[Result] = field(default_factory=list)
    seconds: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)
    supports: list[str] = field(default_factory=list)
    shows_durations: bool = False
    interrupted: bool = False
    error: str = ""

    def count(self, outcome: Outcome) -> int:
        """Return how many results ended with `outcome`."""
        return sum(result.outcome is outcome for result in self.results)

    def count_supported(self) -> int:
        """Return how many promises count: all but those that the mesh cannot have."""
        return sum(not result.is_beyond_mesh for result in self.results)

    @property
    def lacking(self) -> list[Result]:
        """The promises that are not supported without which the run must not be green."""
        return [
            result
            for result in self.results
            if result.is_needed and result.outcome is Outcome.NOT_SUPPORTED
        ]

    @property
    def outcome(self) -> Outcome:
        """The verdict on the run: the worst that happened.

        A run without a result is not green, nor one with a route that no request reaches.
        """
        for outcome in (
            Outcome.INTERNAL_ERROR,
            Outcome.FAILED,
            Outcome.MESH_NOT_READY,
            Outcome.INCONCLUSIVE,
        ):
            if self.count(outcome):
                return outcome
        if self.interrupted or self.error or self.unreached or not self.count(Outcome.PASSED):
            return Outcome.INCONCLUSIVE
        if self.lacking:
            return Outcome.INCONCLUSIVE
        return Outcome.PASSED

    @property
    def exit_code(self) -> int:
        """Exit code of the `meshproof` command: errors.EXIT_CODES has what each means."""
        if self.interrupted:
            return errors.EXIT_INTERRUPTED
        if self.outcome is Outcome.MESH_NOT_READY:
            codes = [result.exit_code for result in self.results if result.exit_code]
            return errors.choose_exit_code(codes or [errors.EXIT_NOT_READY])
        return {
            Outcome.PASSED: errors.EXIT_PASSED,
            Outcome.FAILED: errors.EXIT_FAILED,
            Outcome.INTERNAL_ERROR: errors.EXIT_INTERNAL,
        }.get(self.outcome, errors.EXIT_INCONCLUSIVE)

    def to_json(self) -> str:
        """Return the record as JSON, with counts and send order of every verdict.

        Outcome and exit code of the run come first. docs/reference/run.schema.json is its schema.
        """
        record = {"outcome": self.outcome, "exit_code": self.exit_code, **asdict(self)}
        for result, source in zip(record["results"], self.results, strict=True):
            for check, judged in zip(result["checks"], source.checks, strict=True):
                check["verdict"] = judged.verdict.to_dict()
        return json.dumps(record, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Run:
        """Read a record written by `to_json`. Raises KeyError or ValueError when it is none."""
        record: dict[str, Any] = json.loads(text)
        for computed in ("outcome", "exit_code"):
            record.pop(computed, None)
        results = []
        for item in record.pop("results"):
            checks = [
                Check(**{**check, "verdict": Verdict.from_dict(check["verdict"])})
                for check in item.pop("checks")
            ]
            served = item.pop("served", None)
            item |= {"outcome": Outcome(item["outcome"]), "checks": tuple(checks)}
            item["features"] = tuple(item.get("features", ()))
            item["rule"] = Place(**item["rule"]) if item.get("rule") else None
            item["warnings"] = tuple(map(_read_remark, item.get("warnings", ())))
            if failure := item.pop("failure", None):
                item["failure"] = _read_failure(failure)
            results.append(Result(**item, served=Served(**served) if served else None))
        record["unreached"] = list(map(_read_remark, record.get("unreached", ())))
        return cls(**record, results=results)


def _read_remark(values: dict[str, Any]) -> Remark:
    """Return a remark of a record."""
    return Remark(**{**values, "place": Place(**values["place"])})


def _read_failure(values: dict[str, Any]) -> Failure:
    """Return the failure of a record."""
    clues = tuple(Clue(**clue) for clue in values["clues"])
    cause = values.get("root_cause")
    if cause:
        place, repairs = Place(**cause["place"]), tuple(cause["repairs"])
        cause = Cause(**{**cause, "place": place, "repairs": repairs})
    return Failure(**{**values, "clues": clues, "root_cause": cause})


#: Report and --output -> the module that writes it in place of the report's own.
_OUTPUT_MODULES = {
    ("console", output): f"_{output}" for output in ("json", "jsonl", "github", "gitlab")
}


class Writer(Protocol):
    """A report format. The run calls it in this order; it prints or writes, and decides nothing."""

    def started(self, run: Run) -> None:
        """Report that the run has begun; `run` has no results yet."""

    def progress(self, text: str) -> None:
        """Report what is going on, one short line."""

    def finished(self, result: Result) -> None:
        """Report that one promise has ended."""

    def ended(self, run: Run) -> None:
        """Report that the run is over; write the report."""


def writers(names: Iterable[str], folder: Path, output: str = "text") -> list[Writer]:
    """Return the writers called `names`, each found as `Writer` in meshproof.reports.NAME.

    What `console` prints is chosen by `output`, of the option of that name. They are loaded by
    name, late: nothing in src/ imports a report by statement.
    """
    modules = [
        importlib.import_module(f"meshproof.reports.{_OUTPUT_MODULES.get((name, output), name)}")
        for name in names
    ]
    return [module.Writer(folder) for module in modules]


def formats() -> list[str]:
    """Return the names of all report formats: the public modules in the reports folder."""
    package = importlib.import_module("meshproof.reports")
    names = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name for name in names if not name.startswith("_"))


def list_report_files() -> list[str]:
    """Return the names of the files that a run of any format writes into the report folder."""
    modules = [importlib.import_module(f"meshproof.reports.{name}") for name in formats()]
    return [file for module in modules for file in getattr(module, "FILES", ())]
