"""Marks the tests that stand up real meshes, so that `pytest -m "not local"` takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent / "tests"
#: Folders and files of tests/ in which every test stands up a mesh.
LOCAL = ("addons", "cli", "faults", "mesh", "test_installed.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them; a single test of another folder may carry the mark itself."""
    for item in items:
        if item.path.is_relative_to(TESTS) and item.path.relative_to(TESTS).parts[0] in LOCAL:
            item.add_marker(pytest.mark.local)
