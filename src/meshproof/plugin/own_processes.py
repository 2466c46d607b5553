"""Tells the death of a process of the run's own from a broken promise.

After a test that failed, each mesh that it used says whether its processes live. If one has ended,
that is the test's error, and no later test uses that mesh: it has the same error at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from _pytest.outcomes import Failed

from meshproof.base.errors import MeshproofError, ProcessEnded
from meshproof.plugin.run_context import MESH_FIXTURES

#: Fixture -> the mesh that it has made, while it lives.
_MESHES = pytest.StashKey[dict[str, Any]]()
#: Fixture -> the error of its mesh, since a process of it has ended.
_ERRORS = pytest.StashKey[dict[str, ProcessEnded]]()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """Remember a mesh once it has started."""
    value = yield
    if fixturedef.argname in MESH_FIXTURES:
        request.config.stash.setdefault(_MESHES, {})[fixturedef.argname] = value
    return value


def pytest_fixture_post_finalizer(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> None:
    """Forget a mesh once it has ended."""
    if fixturedef.argname in MESH_FIXTURES:
        request.config.stash.get(_MESHES, {}).pop(fixturedef.argname, None)


@pytest.hookimpl(specname="pytest_runtest_setup")
def pytest_refuse_ended_mesh(item: pytest.Item) -> None:
    """Begin no test on a mesh whose processes have ended."""
    for fixture, error in item.config.stash.get(_ERRORS, {}).items():
        if fixture in getattr(item, "fixturenames", ()):
            raise error


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Look at the processes of the meshes of a test whose setup failed."""
    with _looking_at_processes(item):
        yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Look at the processes of the meshes of a test that failed."""
    with _looking_at_processes(item):
        yield


@contextlib.contextmanager
def _looking_at_processes(item: pytest.Item) -> Iterator[None]:
    """Replace a failure in this context by the error of a mesh whose processes have ended."""
    try:
        yield
    except (Exception, Failed):
        _require_processes(item)
        raise


def _require_processes(item: pytest.Item) -> None:
    """Raise the error of a mesh of a test whose processes have ended."""
    known_errors = item.config.stash.setdefault(_ERRORS, {})
    for fixture, mesh in _iter_meshes(item):
        if fixture in known_errors:
            raise known_errors[fixture]
        try:
            mesh.require_processes()
        except MeshproofError as error:
            # A crash is a finding of this test alone; for the later ones the mesh has ended.
            known_errors[fixture] = (
                error if isinstance(error, ProcessEnded) else ProcessEnded(str(error))
            )
            raise error from None


def _iter_meshes(item: pytest.Item) -> Iterator[tuple[str, Any]]:
    """Yield fixture and mesh of a test; a mesh of the user's own may tell of no processes."""
    for fixture, mesh in item.config.stash.get(_MESHES, {}).items():
        if fixture in getattr(item, "fixturenames", ()) and hasattr(mesh, "require_processes"):
            yield fixture, mesh
