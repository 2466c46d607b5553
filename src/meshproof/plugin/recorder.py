"""Fills the run record from pytest's hooks and passes every event to the report writers."""

from __future__ import annotations

import datetime
import re
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.outcomes import Skipped

from meshproof.base import signals
from meshproof.base.clues import Clue
from meshproof.base.errors import (
    EXIT_INTERNAL,
    Inconclusive,
    MeshproofError,
    ProcessEnded,
    ProxyCrashed,
    UsageError,
    choose_exit_code,
    pluralize,
    suggest_nearest,
)
from meshproof.base.files import name_file
from meshproof.base.output import print_message
from meshproof.base.redaction import redact_text, redact_tokens
from meshproof.plugin import placement, settings
from meshproof.plugin.evidence import Evidence, build_failure, get_evidence, read_skip_reason
from meshproof.plugin.internal_errors import is_internal_error
from meshproof.plugin.run_context import get_context, get_options
from meshproof.run import report_folder
from meshproof.run.record import SEVERITY, Check, Outcome, Result, Run, Writer, formats, writers
from meshproof.run.redacted import redact_result, redact_run
from meshproof.run.rule_text import read_rule_text
from meshproof.user_rules.not_proven import list_not_proven, list_unreached
from meshproof.verdict import Outcome as Judged

if TYPE_CHECKING:
    from meshproof.mesh.http import HttpResponse
    from meshproof.mesh.protocol import Mesh, Served
    from meshproof.verdict import Verdict

#: Subject of the one diagnosis that all cases of user rules share.
_USER_RULES = "your rules"


class NotSupported(Skipped):
    """The mesh lacks something that the test needs: reported by name, never as passed.

    `reason` says what is lacking, `how_to_get` what to do; empty where nothing can be done.
    `exit_code` is that of a run which must not be green without it, 0 where it may.
    """

    def __init__(self, reason: str, how_to_get: str = "", exit_code: int = 0) -> None:
        super().__init__(". ".join(part for part in (reason, how_to_get) if part))
        self.reason, self.how_to_get, self.exit_code = reason, how_to_get, exit_code


def build_check(
    verdict: Verdict, sample: object, by: str | Callable[[HttpResponse], str | None], name: str
) -> Check:
    """Return the record of a verdict; for visits with their sampling and a curl command."""
    from meshproof.traffic.visits import Visits

    by = by if isinstance(by, str) else by.__name__
    if not isinstance(sample, Visits):
        return Check(name=name, by=by, curl="", verdict=verdict)
    return Check(
        name=name,
        by=by,
        curl=sample.curl,
        verdict=verdict,
        transport_errors=sample.transport_errors,
        sampling=str(sample.sampling),
    )


def require_features(item: pytest.Item, features: Iterable[str]) -> None:
    """Raise NotSupported when the chosen mesh lacks one of `features`, UsageError for a typo."""
    from meshproof.mesh.protocol import Feature, load_mesh_class

    name = get_options(item.config).mesh
    supports = load_mesh_class(name).supports
    valid = [str(feature) for feature in Feature]
    for feature in features:
        if feature not in valid:
            raise UsageError(
                f"needs('{feature}'): no such feature{suggest_nearest(feature, valid)}"
            )
        if feature not in supports:
            raise NotSupported(f"the {name} mesh does not support {feature}")


class Recorder:
    """A pytest plugin that makes one Result for each test and passes it to every writer."""

    def __init__(self, config: pytest.Config) -> None:
        from meshproof import __version__
        from meshproof.mesh.protocol import load_mesh_class

        self._config = config
        self._context = get_context(config)
        name = self._context.options.mesh
        self._report_folder = report_folder.claim(Path(self._context.options.report or ""))
        self._folder = self._report_folder.path
        self._start_time = time.monotonic()
        self._mesh: Mesh | None = None
        #: Subject -> folder and clues; all cases of user rules share one state of the mesh.
        self._saved_diagnoses: dict[str, tuple[str, tuple[Clue, ...]]] = {}
        #: The result of the test that runs; its end may still change it.
        self._unfinished: Result | None = None
        self._recorded_checks = 0
        self.collection_failed = False
        self.write_error = ""
        proven, self._standins = placement.describe_proof_and_standins(config)
        self._writers = self._choose_writers()
        self.run = Run(
            version=__version__,
            mesh=name,
            proven=load_mesh_class(name).proven + proven,
            command=_format_command_line(config),
            started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            notes=list(self._context.notes),
            is_verbose=config.option.verbose > 0,
            is_quiet=config.option.verbose < 0,
            shows_durations=self._context.options.durations,
            supports=sorted(load_mesh_class(name).supports),
        )

    def _choose_writers(self) -> list[Writer]:
        """Return the writers of --mesh-format, by default all. Raises pytest.UsageError."""
        valid = formats()
        chosen = self._context.options.format or [
            name for name in valid if name != "console" or self._config.getoption("mesh_cli")
        ]
        for name in chosen:
            if name not in valid:
                hint = suggest_nearest(name, valid)
                raise pytest.UsageError(
                    f"{self._context.options.label('format')} {name}: not one of "
                    f"{', '.join(valid)}{hint}"
                )
        self._foreign_writers = self._build_foreign_writers()
        ours = writers(chosen, self._folder, self._context.options.output)
        return [*ours, *self._foreign_writers]

    def _build_foreign_writers(self) -> list[Writer]:
        """Return the writers that other plugins bring, of each one that can begin."""
        manager, hook = self._config.pluginmanager, "pytest_meshproof_report"
        plugins = [
            implementation.plugin
            for implementation in manager.hook.pytest_meshproof_report.get_hookimpls()
        ]
        found: list[Writer] = []
        for plugin in plugins:
            # Called alone: pluggy gives up all of them where one raises.
            others = [other for other in plugins if other is not plugin]
            try:
                found += manager.subset_hook_caller(hook, others)(folder=self._folder)
            except Exception as error:
                name = manager.get_name(plugin)
                self.write_error = f"a report cannot be written: {name}: {error}"
        return found

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Tell the writers that the run begins."""
        self._context.report_progress = self._report_progress
        self._notify_writers(lambda writer: writer.started(self.run))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note how many tests the run has."""
        self.run.planned = len(session.items)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember a collection error: pytest then reports the run as interrupted."""
        self.collection_failed = self.collection_failed or report.failed

    def _report_progress(self, text: str) -> None:
        self._notify_writers(lambda writer: writer.progress(redact_tokens(text)))

    def _notify_writers(self, notify: Callable[[Writer], None]) -> None:
        """Call `notify` with every writer; drop a writer that cannot write, or is wrong."""
        for writer in list(self._writers):
            try:
                notify(writer)
            except Exception as error:
                if not isinstance(error, OSError) and writer not in self._foreign_writers:
                    raise
                self._writers.remove(writer)
                name = f"{type(writer).__module__}: " if writer in self._foreign_writers else ""
                self.write_error = f"a report cannot be written: {name}{error}"

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[Any]:
        """Remember the mesh: a test of user rules takes only a sandbox of it."""
        value = yield
        if fixturedef.argname == "mesh":
            self._mesh = value
        return value

    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        """Forget the mesh once it has ended."""
        if fixturedef.argname == "mesh":
            self._mesh = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Iterator[Any]:
        """Record one Result for each test: of its call or failed setup, and of its teardown."""
        report = yield
        if call.when == "call" or call.excinfo is not None:
            former, evidence = self._unfinished, get_evidence(item)
            result = self._build_result(item, call, evidence.since(self._recorded_checks))
            self._recorded_checks = len(evidence.checks)
            self._unfinished = _merge_teardown(former, result) if former else result
        if call.when == "teardown":
            self._finish_result(is_rerun=getattr(item, "execution_count", 1) > 1)
        return report

    def _finish_result(self, is_rerun: bool = False) -> None:
        """Add the result of the test that has ended, if there is one.

        That of a test that is run again (pytest-rerunfailures) takes the place of the former one,
        which a note tells.
        """
        result, self._unfinished, self._recorded_checks = self._unfinished, None, 0
        if result is not None:
            result = redact_result(result)
            if is_rerun and self.run.results:
                former = self.run.results.pop()
                note = f"{result.name} was run again: it ended first with {former.outcome}: "
                note += former.summary
                self._context.notes.append(note)
                self.run.notes = [*self.run.notes, note]
            self.run.results.append(result)
            self._notify_writers(lambda writer: writer.finished(result))

    def _build_result(
        self, item: pytest.Item, call: pytest.CallInfo[None], evidence: Evidence
    ) -> Result:
        promise = item.get_closest_marker("promise")
        name, title = (
            _format_promise(item, promise.args[1:3]) if promise else (item.name, item.nodeid)
        )
        is_internal = call.excinfo is not None and is_internal_error(item, call.when, call.excinfo)
        outcome = Outcome.INTERNAL_ERROR if is_internal else self._determine_outcome(call, evidence)
        self._update_run_notes()
        diagnosis, clues = "", tuple[Clue, ...]()
        if outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.MESH_NOT_READY):
            is_user_rule_case = "rule_case" in getattr(item, "fixturenames", ())
            subject = _USER_RULES if is_user_rule_case else f"{name} {evidence.dialect}".strip()
            diagnosis, clues = self._save_diagnosis(subject, call)
        error = call.excinfo.value if call.excinfo else None
        # What was judged while a process of our own was dying says nothing of the mesh.
        is_void = isinstance(error, ProcessEnded)
        return Result(
            promise=name,
            title=title,
            outcome=outcome,
            dialect=evidence.dialect,
            failure=build_failure(outcome, call, evidence, clues, diagnosis),
            reason=read_skip_reason(error),
            how_to_get=error.how_to_get if isinstance(error, NotSupported) else "",
            rule=evidence.rule,
            checks=() if is_void else tuple(evidence.checks),
            seconds=round(call.duration, 3),
            exit_code=EXIT_INTERNAL if is_internal else _read_exit_code(call),
            served=_find_served_state(item) if call.when == "call" and not is_void else None,
            requests=sum(sample.sent for sample in evidence.samples),
            route=evidence.route,
            code=evidence.code,
            warnings=evidence.warnings,
            features=_list_features(item, evidence.dialect),
            rule_text=read_rule_text(evidence.rule),
        )

    def _determine_outcome(self, call: pytest.CallInfo[None], evidence: Evidence) -> Outcome:
        """Return how a test has ended; a failed verdict outweighs what came after it."""
        if call.excinfo is None:
            return Outcome.PASSED
        error = call.excinfo.value
        unmet = [check.outcome_for_test for check in evidence.checks if not check.is_as_expected]
        if isinstance(error, ProcessEnded):
            return Outcome.MESH_NOT_READY
        if Judged.FAILED in unmet or isinstance(error, ProxyCrashed):
            return Outcome.FAILED
        if isinstance(error, NotSupported):
            return Outcome.NOT_SUPPORTED
        if isinstance(error, Skipped):
            return Outcome.SKIPPED
        if isinstance(error, Inconclusive):
            return Outcome.INCONCLUSIVE
        if isinstance(error, MeshproofError):
            return Outcome.MESH_NOT_READY
        is_verdict = isinstance(error, AssertionError)
        return Outcome.INCONCLUSIVE if is_verdict and unmet else Outcome.FAILED

    def _update_run_notes(self) -> None:
        """Copy the stand-ins and notes of the mesh into the run record."""
        if self._mesh is not None:
            self.run.standins = self._mesh.standins
            self.run.notes = [*self._context.notes, *self._mesh.notes]
        standins = [standin for standin in self._standins if standin not in self.run.standins]
        self.run.standins = [*self.run.standins, *standins]

    def _save_diagnosis(
        self, subject: str, call: pytest.CallInfo[None]
    ) -> tuple[str, tuple[Clue, ...]]:
        """Save the state of the mesh; return its folder and clues to the failure.

        A mesh that failed to start has ended already: its error has the folder and the clues.
        """
        error = call.excinfo.value if call.excinfo else None
        error_clues = error.clues if isinstance(error, MeshproofError) else ()
        if isinstance(error, MeshproofError) and error.diagnosis:
            return error.diagnosis, error_clues
        folder, clues = self._diagnose_mesh(subject)
        return folder, (*error_clues, *clues)

    def _diagnose_mesh(self, subject: str) -> tuple[str, tuple[Clue, ...]]:
        """Save the state of the mesh, if there is one; return the folder and what looks wrong."""
        if self._mesh is None or subject in self._saved_diagnoses:
            return self._saved_diagnoses.get(subject, ("", ()))
        folder_name = name_file(re.sub(r"[^a-z0-9]+", "-", subject.lower()).strip("-"))
        folder = self._folder / settings.DIAGNOSIS / folder_name
        try:
            clues = tuple(self._mesh.diagnose(folder))
        except (MeshproofError, OSError) as error:
            clues = (Clue("the diagnosis is not complete", str(error)),)
        if subject == _USER_RULES:
            self._saved_diagnoses[subject] = str(folder), clues
        return str(folder), clues

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Record the error that ends the whole run."""
        self.run.error = report_folder.describe_error(excinfo.value)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Complete the record and let every writer write its report."""
        self._finish_result()
        stopped = exitstatus == pytest.ExitCode.INTERRUPTED and not self.collection_failed
        self.run.interrupted = stopped or signals.is_ending()
        self.run.notes = [*self.run.notes, *_describe_looser_limits(self.run.results)]
        if self._context.ended_splits:
            splits = pluralize(self._context.ended_splits, "split")
            options = self._context.options
            spent = f"{options.label('max-seconds')} {options.max_seconds:g}"
            self.run.notes.append(f"{splits} not told to the end: {spent} was spent")
        if self._context.user_rules is not None:
            self.run.not_proven = list_not_proven(self._context.user_rules)
            self.run.unreached = list(list_unreached(self._context.user_rules))
            user_rules = self._context.user_rules
            self.run.notes = [*self.run.notes, *user_rules.notes, *user_rules.lint_notes]
        self.run.seconds = round(time.monotonic() - self._start_time, 2)
        self.run.phases = {
            phase: round(seconds, 3)
            for phase, seconds in self._context.phases.read().items()
            if seconds >= 0.001
        }
        if exitstatus == pytest.ExitCode.OK and self.run.lacking:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED  # pytest takes it for skipped
        redact_run(self.run)
        self._report_folder.is_reported = True
        self._notify_writers(lambda writer: writer.ended(self.run))
        if self.write_error:
            print_message(f"meshproof: {self.write_error}")


def _merge_teardown(result: Result, teardown: Result) -> Result:
    """Return the one result of a test whose teardown failed: the worse outcome, both reasons."""
    if SEVERITY.index(teardown.outcome) < SEVERITY.index(result.outcome):
        worse, other = teardown, result
    else:
        worse, other = result, teardown
    failure = worse.failure
    if failure is not None and other.failure is not None:
        phase = "teardown" if other is teardown else "call"
        clue = Clue(f"the test's {phase} failed, too", other.failure.summary)
        failure = replace(failure, clues=(*failure.clues, clue))
    codes = [part.exit_code for part in (result, teardown) if part.exit_code]
    return replace(
        worse,
        failure=failure,
        checks=result.checks + teardown.checks,
        seconds=round(result.seconds + teardown.seconds, 3),
        exit_code=choose_exit_code(codes) if codes else 0,
        served=result.served,
    )


def _describe_looser_limits(results: Iterable[Result]) -> list[str]:
    """Return notes on limits of rules and checks that are looser than the run's options."""
    checks = [check for result in results for check in result.checks]
    counts = Counter(description for check in checks for description in check.verdict.loosened())
    return [
        f"looser than the run in {pluralize(count, 'check')}: {description}"
        for description, count in counts.items()
    ]


def _format_command_line(config: pytest.Config) -> str:
    """Return the command line that repeats this run; what is secret must be filled in."""
    if config.getoption("mesh_cli"):
        return redact_text(shlex.join(["meshproof", *sys.argv[1:]]))
    return redact_text(shlex.join(["pytest", *map(str, config.invocation_params.args)]))


def _format_promise(item: pytest.Item, texts: tuple[str, str]) -> tuple[str, str]:
    """Fill a test's parameters into the name and title of its promise: `addon {addon}`."""
    parameters = (
        item.callspec.params
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        else {}
    )
    return texts[0].format(**parameters), texts[1].format(**parameters)


def _list_features(item: pytest.Item, dialect: str) -> tuple[str, ...]:
    """Return what a test needs of the mesh: features, the addon that it asks."""
    from meshproof.mesh.protocol import Feature

    mark = item.get_closest_marker("needs")
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    needed = [
        *(mark.args if mark else ()),
        *([Feature.ROUTE_RULE] if dialect == "RouteRule" else []),
        *([f"addon {parameters['addon']}"] if "addon" in parameters else []),
    ]
    return tuple(map(str, needed))


def _find_served_state(item: pytest.Item) -> Served | None:
    """Return what the mesh of a test served when the test began."""
    fixture_values = getattr(item, "funcargs", {})
    mesh = fixture_values.get("mesh") or fixture_values.get("rule_mesh")
    served: Served | None = getattr(mesh, "served", None)
    return served


def _read_exit_code(call: pytest.CallInfo[None]) -> int:
    error = call.excinfo.value if call.excinfo else None
    return error.exit_code if isinstance(error, (MeshproofError, NotSupported)) else 0


__all__ = ["NotSupported", "Recorder", "require_features"]
