"""Which exception of a test is an error of our own: it is no verdict, and ends with exit code 70."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from _pytest.outcomes import OutcomeException

from meshproof.errors import MeshproofError

#: Top-level packages whose frames lead to a fixture, and are none of its own.
_PYTEST = ("_pytest", "pluggy", "pytest")


def is_internal(
    item: pytest.Item, phase: str, excinfo: pytest.ExceptionInfo[BaseException]
) -> bool:
    """Say whether a test was ended by an error of our own code, or of this machine below it.

    In a bundled test that is every exception that is no verdict. Around any test it is one that a
    fixture of ours raised. What a user's own test or fixture raises is the user's.
    """
    if isinstance(excinfo.value, (AssertionError, OutcomeException, MeshproofError)):
        return False
    if not isinstance(excinfo.value, Exception):
        return False
    if phase == "call":
        return _is_bundled(item)
    module = _first_module(excinfo)
    return module.partition(".")[0] == "meshproof" or (not module and _is_bundled(item))


def _is_bundled(item: pytest.Item) -> bool:
    spec = find_spec("meshproof.suites")
    folders = (spec.submodule_search_locations or []) if spec else []
    return any(item.path.resolve().is_relative_to(Path(folder).resolve()) for folder in folders)


def _first_module(excinfo: pytest.ExceptionInfo[BaseException]) -> str:
    """Return the name of the module of the fixture that raised: the first that is not pytest's."""
    modules = (str(entry.frame.f_globals.get("__name__", "")) for entry in excinfo.traceback)
    return next((name for name in modules if name.partition(".")[0] not in _PYTEST), "")
