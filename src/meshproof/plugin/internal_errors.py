"""Tells errors of our own code from verdicts: they end a run with exit code 70."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from _pytest.outcomes import OutcomeException

from meshproof.base.errors import MeshproofError

#: Functions of pytest that call the function of a fixture, to begin and to end it.
_CALLERS = ("call_fixture_func", "_teardown_yield_fixture")


def is_internal_error(
    item: pytest.Item, phase: str, excinfo: pytest.ExceptionInfo[BaseException]
) -> bool:
    """Return whether an error of our own code, or of this machine below it, ended a test.

    In a bundled test that is every exception except a verdict. In setup and teardown it is an
    exception from a fixture of ours. Exceptions of a user's test or fixture are the user's, except
    for a lack of this machine (no more threads, a full disk) below a call of ours.
    """
    if isinstance(excinfo.value, (AssertionError, OutcomeException, MeshproofError)):
        return False
    if not isinstance(excinfo.value, Exception):
        return False
    if phase == "call":
        return _is_bundled(item) or _is_lack_of_machine(item, excinfo)
    return _find_raising_module(excinfo).partition(".")[0] == "meshproof"


def _is_bundled(item: pytest.Item) -> bool:
    """Return whether a test is one of meshproof.suites."""
    spec = find_spec("meshproof.suites")
    folders = (spec.submodule_search_locations or []) if spec else []
    return any(item.path.resolve().is_relative_to(Path(folder).resolve()) for folder in folders)


def _is_lack_of_machine(item: pytest.Item, excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
    """Return whether this machine refused something to our code, not to the user's own."""
    if not isinstance(excinfo.value, (OSError, MemoryError, RuntimeError)):
        return False
    for entry in reversed(excinfo.traceback):
        if str(entry.frame.f_globals.get("__name__", "")).partition(".")[0] == "meshproof":
            return True
        if Path(entry.path) == item.path or Path(entry.path).name == "conftest.py":
            return False
    return False


def _find_raising_module(excinfo: pytest.ExceptionInfo[BaseException]) -> str:
    """Return the module of the fixture that raised, else the module of the last function.

    Hooks of any plugin may call the fixture: its function is the one that pytest called last.
    """
    frames = [entry.frame for entry in excinfo.traceback]
    modules = [str(frame.f_globals.get("__name__", "")) for frame in frames]
    called_at = [
        index
        for index, frame in enumerate(frames[:-1])
        if modules[index] == "_pytest.fixtures" and frame.code.name in _CALLERS
    ]
    return modules[called_at[-1] + 1] if called_at else modules[-1]
