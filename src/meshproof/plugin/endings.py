"""Ends a run with a mesh under pytest: cleanup is never cut short, our errors have no traceback."""

from __future__ import annotations

import sys
from collections.abc import Generator

import pytest

from meshproof.base import signals
from meshproof.base.errors import MeshproofError
from meshproof.base.output import print_message
from meshproof.plugin.run_context import MESH_FIXTURES
from meshproof.plugin.verdicts import UnmetVerdict

#: id() of an error that was reported -> node id of the test that reported it.
_REPORTED_ERRORS = pytest.StashKey[dict[int, str]]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Turn signals into interrupts from before a mesh starts until after it has ended."""
    if any(MESH_FIXTURES & set(getattr(item, "fixturenames", ())) for item in items):
        config.add_cleanup(signals.take_over())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Start no test after a signal, even if somebody has swallowed its interrupt."""
    if signals.is_ending():
        raise KeyboardInterrupt


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Finish the cleanup and the reports before a signal takes effect with exit code 2."""
    reported = session.config.pluginmanager.has_plugin("meshproof.plugin.recorder")
    if not reported and "meshproof.mesh.process.processes" not in sys.modules:
        yield
        return
    with signals.uninterrupted():
        yield
        if signals.is_pending():
            session.exitstatus = pytest.ExitCode.INTERRUPTED
        signals.ignore_from_now()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show an error of ours as its message, in full only once; --tb=STYLE shows the traceback."""
    report = yield
    excinfo = call.excinfo
    if report.failed and excinfo is not None and item.config.getoption("tbstyle") == "auto":
        error = excinfo.value
        if isinstance(error, UnmetVerdict):
            report.longrepr = excinfo.getrepr(style="value", chain=False)
        elif isinstance(error, MeshproofError):
            reported_by = item.config.stash.setdefault(_REPORTED_ERRORS, {})
            if id(error) in reported_by:
                shortened = type(error)(
                    f"{str(error).splitlines()[0]} (see {reported_by[id(error)]})"
                )
                excinfo = pytest.ExceptionInfo.from_exc_info((type(error), shortened, excinfo.tb))
            else:
                reported_by[id(error)] = item.nodeid
            report.longrepr = excinfo.getrepr(style="value", chain=False)
    return report


def pytest_internalerror(excinfo: pytest.ExceptionInfo[BaseException]) -> bool | None:
    """Show the message of an error of ours that ends the whole run."""
    if isinstance(excinfo.value, MeshproofError):
        print_message(f"meshproof: {excinfo.value}")
        return True
    return None
