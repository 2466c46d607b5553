"""Marks the tests that stand up real meshes: `pytest -m "not local and not lab"` takes seconds.

Tests of a cluster run in the lab alone (`tox -e cluster`); elsewhere they are skipped by name.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

TESTS = Path(__file__).parent / "tests"
#: Variable that tests/lab/laboratory.py sets for what it runs in the lab.
IN_LAB = "MESHPROOF_IN_LAB"
#: Folders and files of tests/ in which every test stands up a mesh.
LOCAL = ("addons", "cli", "faults", "mesh", "test_installed.py")
#: Files of tests/lab that take minutes each.
LONG = ("cleanup", "install", "kube_inject", "nightly", "provider", "rbac")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them; a single test of another folder may carry the mark itself."""
    for item in items:
        if item.path.is_relative_to(TESTS) and item.path.relative_to(TESTS).parts[0] in LOCAL:
            item.add_marker(pytest.mark.local)
        if item.path.is_relative_to(TESTS / "lab"):
            item.add_marker(pytest.mark.lab)
            if item.path.stem.removeprefix("test_lab_") in LONG:
                item.add_marker(pytest.mark.long)
            if IN_LAB not in os.environ:
                item.add_marker(pytest.mark.skip("needs a cluster: `tox -e cluster`"))
