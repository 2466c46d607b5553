"""Fills the run record from pytest's hooks and passes every event on to the report writers."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.outcomes import Skipped

from meshproof.base import signals
from meshproof.base.errors import (
    EXIT_INTERNAL,
    Inconclusive,
    MeshproofError,
    UsageError,
    nearest,
    plural,
)
from meshproof.plugin import placement, settings
from meshproof.plugin.evidence import Evidence, build_failure, evidence, reason_of
from meshproof.plugin.internal_errors import is_internal
from meshproof.run.record import Check, Outcome, Result, Run, Writer, formats, writers
from meshproof.verdict import Outcome as Judged

if TYPE_CHECKING:
    from meshproof.mesh.protocol import Mesh, Served
    from meshproof.traffic.http import Visit
    from meshproof.verdict import Verdict

#: Bytes that must fit into the folder for the reports.
_PROBE = 1 << 18
#: What the evidence of cases of own rules is about.
_OWN = "your rules"


class NotSupported(Skipped):
    """The mesh lacks something that the test needs; reported by name, never as passed."""


def check_of(
    verdict: Verdict, sample: object, by: str | Callable[[Visit], str | None], name: str
) -> Check:
    """Return the record of a verdict; of visits it keeps how they were sent and one as curl."""
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
    from meshproof.mesh.protocol import Feature, mesh_class

    name = item.config.getoption("mesh") or "local"
    supports = mesh_class(name).supports
    valid = [str(known) for known in Feature]
    for feature in features:
        if feature not in valid:
            raise UsageError(f"needs('{feature}'): no such feature{nearest(feature, valid)}")
        if feature not in supports:
            raise NotSupported(f"the {name} mesh does not support {feature}")


class Recorder:
    """A pytest plugin: one Result for each test, passed to every writer as it comes."""

    def __init__(self, config: pytest.Config) -> None:
        from meshproof import __version__
        from meshproof.mesh.protocol import mesh_class

        name = config.getoption("mesh") or "local"
        self._config = config
        self._folder = _usable(Path(config.getoption("mesh_report")))
        self._began = time.monotonic()
        self._mesh: Mesh | None = None
        #: The evidence of all cases of own rules: it is of one state of a mesh.
        self._saved: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.broken = False
        self.unwritten = ""
        proven, self._standins = placement.told(config)
        self._seen: dict[str, str] = {}
        self._writers = self._chosen_writers()
        self.run = Run(
            version=__version__,
            mesh=name,
            proven=mesh_class(name).proven + proven,
            command=_command(config),
            started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            notes=settings.notes(config),
        )

    def _chosen_writers(self) -> list[Writer]:
        valid = formats()
        chosen = self._config.getoption("mesh_format") or [
            name for name in valid if name != "console" or self._config.getoption("mesh_cli")
        ]
        for name in chosen:
            if name not in valid:
                raise pytest.UsageError(
                    f"--mesh-format {name}: not one of {', '.join(valid)}{nearest(name, valid)}"
                )
        return writers(chosen, self._folder)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Tell the writers that the run begins."""
        settings.tell_by(self._config, self._progress)
        self._tell(lambda writer: writer.started(self.run))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember that something could not be collected: pytest then calls itself interrupted."""
        self.broken = self.broken or report.failed

    def _progress(self, text: str) -> None:
        self._tell(lambda writer: writer.progress(text))

    def _tell(self, told: Callable[[Writer], None]) -> None:
        """Tell every writer something. One that cannot write is left out from there on."""
        for writer in list(self._writers):
            try:
                told(writer)
            except OSError as error:
                self._writers.remove(writer)
                self.unwritten = f"a report cannot be written: {error}"

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[Any]:
        """Remember the mesh: a sandbox of it is what a test of own rules takes."""
        found = yield
        if fixturedef.argname == "mesh":
            self._mesh = found
        return found

    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        """Forget the mesh once it is gone."""
        if fixturedef.argname == "mesh":
            self._mesh = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Iterator[Any]:
        """Make a Result of the test's call, or of a setup that did not get so far."""
        report = yield
        failed = call.excinfo is not None
        if (
            call.when == "call"
            or (call.when == "setup" and failed)
            or (failed and call.when == "teardown")
        ):
            self._finish(self._result(item, call))
        return report

    def _finish(self, result: Result) -> None:
        self.run.results.append(result)
        self._tell(lambda writer: writer.finished(result))

    def _result(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Result:
        noted = evidence(item)
        promise = item.get_closest_marker("promise")
        name, title = _names(item, promise.args[1:3]) if promise else (item.name, item.nodeid)
        internal = call.excinfo is not None and is_internal(item, call.when, call.excinfo)
        outcome = Outcome.INTERNAL_ERROR if internal else self._outcome(call, noted)
        self._meet_mesh()
        diagnosis, clues = "", tuple[str, ...]()
        if outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.MESH_NOT_READY):
            own = "rule_case" in getattr(item, "fixturenames", ())
            about = _OWN if own else f"{name} {noted.dialect}".strip()
            diagnosis, clues = self._diagnose(about, call)
        return Result(
            promise=name,
            title=title,
            outcome=outcome,
            dialect=noted.dialect,
            failure=build_failure(outcome, title, call, noted, clues, diagnosis),
            reason=reason_of(call),
            rule=noted.rule,
            checks=tuple(noted.checks),
            seconds=round(call.duration, 3),
            exit_code=EXIT_INTERNAL if internal else _exit_code(call),
            served=_served(item) if call.when == "call" else None,
        )

    def _outcome(self, call: pytest.CallInfo[None], noted: Evidence) -> Outcome:
        if call.excinfo is None:
            return Outcome.PASSED
        error = call.excinfo.value
        if isinstance(error, NotSupported):
            return Outcome.NOT_SUPPORTED
        if isinstance(error, Skipped):
            return Outcome.SKIPPED
        if isinstance(error, Inconclusive):
            return Outcome.INCONCLUSIVE
        if isinstance(error, MeshproofError):
            return Outcome.MESH_NOT_READY
        judged = [check.verdict.outcome for check in noted.checks]
        if isinstance(error, AssertionError) and Judged.INCONCLUSIVE in judged:
            return Outcome.FAILED if Judged.FAILED in judged else Outcome.INCONCLUSIVE
        return Outcome.FAILED

    def _meet_mesh(self) -> None:
        if self._mesh is not None:
            self.run.standins = self._mesh.standins
            self.run.notes = [*settings.notes(self._config), *self._mesh.notes]
        more = [one for one in self._standins if one not in self.run.standins]
        self.run.standins = [*self.run.standins, *more]

    def _diagnose(self, name: str, call: pytest.CallInfo[None]) -> tuple[str, tuple[str, ...]]:
        """Save the evidence; return its folder and what the mesh itself knows.

        A mesh that did not come up is gone already: its error says what it has saved before.
        """
        error = call.excinfo.value if call.excinfo else None
        if isinstance(error, MeshproofError) and error.diagnosis:
            return error.diagnosis, tuple(error.clues.splitlines())
        if self._mesh is None or name in self._saved:
            return self._saved.get(name, ("", ()))
        place = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        folder = self._folder / settings.DIAGNOSIS / place
        try:
            clues = tuple(self._mesh.diagnose(folder).splitlines())
        except (MeshproofError, OSError) as error:
            clues = (f"the diagnosis is not complete: {error}",)
        if name == _OWN:
            self._saved[name] = str(folder), clues
        return str(folder), clues

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Close the record and let every writer write its report."""
        stopped = exitstatus == pytest.ExitCode.INTERRUPTED and not self.broken
        self.run.interrupted = stopped or signals.ending()
        self.run.notes = [*self.run.notes, *_loosened(self.run.results)]
        self.run.seconds = round(time.monotonic() - self._began, 2)
        self._tell(lambda writer: writer.ended(self.run))
        if self.unwritten:
            sys.stderr.write(f"meshproof: {self.unwritten}\n")


def _loosened(results: Iterable[Result]) -> list[str]:
    """Return what rules and checks have set that lets more through than the run's options."""
    checks = [check for result in results for check in result.checks]
    counts = Counter(words for check in checks for words in check.verdict.loosened())
    return [
        f"looser than the run in {plural(count, 'check')}: {it}" for it, count in counts.items()
    ]


def _usable(folder: Path) -> Path:
    """Return the folder for the reports, made and tried: later, a whole run would be in vain.

    Raises UsageError when nothing can be written there.
    """
    probe = folder / f".probe.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(bytes(_PROBE))
    except OSError as error:
        said = f"{folder}: reports cannot be written there: {error.strerror}"
        raise UsageError(said) from None
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return folder


def _command(config: pytest.Config) -> str:
    """Return the command line that makes this run again."""
    if config.getoption("mesh_cli"):
        return shlex.join(["meshproof", *sys.argv[1:]])
    return shlex.join(["pytest", *map(str, config.invocation_params.args)])


def _names(item: pytest.Item, texts: tuple[str, str]) -> tuple[str, str]:
    """Put a test's parameters into its promise's name and title: `addon {addon}`."""
    parameters = (
        item.callspec.params
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        else {}
    )
    return texts[0].format(**parameters), texts[1].format(**parameters)


def _served(item: pytest.Item) -> Served | None:
    """Return how the mesh of a test had settled when the test began."""
    found = getattr(item, "funcargs", {})
    mesh = found.get("mesh") or found.get("rule_mesh")
    served: Served | None = getattr(mesh, "served", None)
    return served


def _exit_code(call: pytest.CallInfo[None]) -> int:
    error = call.excinfo.value if call.excinfo else None
    return error.exit_code if isinstance(error, MeshproofError) else 0


__all__ = ["NotSupported", "Recorder", "evidence", "require_features"]
