"""How a run with a mesh ends under pytest: no signal cuts its end short, our errors are words."""

from __future__ import annotations

import sys
from collections.abc import Generator

import pytest

from meshproof.base import signals
from meshproof.base.errors import MeshproofError

#: Fixtures that stand up a mesh.
_MESHES = {"mesh", "rule_mesh"}
_SAID = pytest.StashKey[dict[int, str]]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Turn signals into interrupts from before a mesh is started until after it is gone."""
    if any(_MESHES & set(getattr(item, "fixturenames", ())) for item in items):
        config.add_cleanup(signals.take())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Start no test after a signal, should somebody have swallowed its interrupt."""
    if signals.ending():
        raise KeyboardInterrupt


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Take everything down and write the reports before a signal has its effect: exit code 2."""
    reported = session.config.pluginmanager.has_plugin("meshproof.plugin.recorder")
    if not reported and "meshproof.mesh.process.processes" not in sys.modules:
        yield
        return
    with signals.uninterrupted():
        yield
        if signals.pending():
            session.exitstatus = pytest.ExitCode.INTERRUPTED
        signals.settle()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show an error of ours as its message, whole only once; --tb=STYLE shows its place."""
    report = yield
    found = call.excinfo
    if report.failed and found is not None and item.config.getoption("tbstyle") == "auto":
        error = found.value
        if isinstance(error, MeshproofError):
            said = item.config.stash.setdefault(_SAID, {})
            if id(error) in said:
                again = type(error)(f"{str(error).splitlines()[0]} (see {said[id(error)]})")
                found = pytest.ExceptionInfo.from_exc_info((type(error), again, found.tb))
            else:
                said[id(error)] = item.nodeid
            report.longrepr = found.getrepr(style="value", chain=False)
    return report


def pytest_internalerror(excinfo: pytest.ExceptionInfo[BaseException]) -> bool | None:
    """Show an error of ours that ends the whole run as its message."""
    if isinstance(excinfo.value, MeshproofError):
        sys.stderr.write(f"meshproof: {excinfo.value}\n")
        return True
    return None
