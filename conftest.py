"""Marks the tests that stand up real meshes: `pytest -m "not local and not lab"` takes seconds.

Tests of a cluster run in the lab alone (`tox -e cluster`); elsewhere they are skipped by name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent / "tests"
#: Variable that tests/lab/laboratory.py sets for what it runs in the lab: "lab", or "bare".
IN_LAB = "MESHPROOF_IN_LAB"
#: What such a place is called -> the environment of tox.ini that makes it.
ENVIRONMENTS = {"lab": "cluster", "bare": "bare"}
#: File of tests/lab whose cluster has no Istio.
BARE = "test_lab_bare"
#: Where every test stands up a mesh or runs the command: beginnings of paths in tests/.
LOCAL = (
    *(
        "base/test_signals",
        "cli/test_usage_errors",
        "faults/",
        "mesh/addons/",
        "mesh/envoy/test_xds",
    ),
    *("mesh/local/", "robust/", "test_installed"),
)
#: Marks of tests in which a real mesh draws at random. There a run's chance of a false alarm is
#: this, not the 1e-4 of a user's run: in a hundred such tests that would be 1 red in 100.
DRAWING = ("local", "lab", "bare", "istiod")
ALPHA = ("MESHPROOF_ALPHA", "1e-9")
#: Files of tests/lab that take minutes each, or change the whole mesh for a time.
LONG = (
    *("cleanup", "install", "kube_inject", "nightly", "pods_come_and_go", "policies", "provider"),
    *("quota", "rbac"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them; a single test of another folder may carry the mark itself."""
    here = os.environ.get(IN_LAB)
    if here and here not in ENVIRONMENTS:
        raise pytest.UsageError(f"{IN_LAB}={here}: expected {' or '.join(ENVIRONMENTS)}")
    for item in items:
        if not item.path.is_relative_to(TESTS):
            continue
        path = item.path.relative_to(TESTS).as_posix()
        if path.startswith(LOCAL):
            item.add_marker(pytest.mark.local)
        if path.startswith("lab/"):
            of = "bare" if item.path.stem == BARE else "lab"
            item.add_marker(of)
            if item.path.stem.removeprefix("test_lab_") in LONG:
                item.add_marker(pytest.mark.long)
            if here != of:
                item.add_marker(pytest.mark.skip(f"needs a cluster: `tox -e {ENVIRONMENTS[of]}`"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Leave no room for chance to the runs of a test; one that says its own alpha has that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(ALPHA[0], raising=False)
        if any(map(item.get_closest_marker, DRAWING)):
            patch.setenv(*ALPHA)
        return (yield)
