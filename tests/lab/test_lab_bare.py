"""A cluster without an Istio: a run installs one, keeps its promises on it, and takes it away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshproof.cli import main
from tests.lab.commands import ISTIO_OF_THE_LAB, LONGEST, begun, everything, kubectl, meshproof

RUN = ("test", "--mesh", "cluster")
INSTALL = ("--mesh-install", *ISTIO_OF_THE_LAB)


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = everything()
    assert not any("istio" in name for name in before), "there is an Istio"
    yield
    assert everything() ^ before == set()


def test_how_to_get_one_is_said(tmp_path: Path) -> None:
    ended = meshproof(*RUN, "-k", "rotation", folder=tmp_path)
    assert ended.code == 69, ended.output
    assert "--mesh-install" in ended.message("default rotation")


def test_the_whole_gate(tmp_path: Path) -> None:
    ended = meshproof(*RUN, *INSTALL, folder=tmp_path)
    assert ended.code == 0, ended.output
    notes = "\n".join(ended.run.notes)
    assert "Istio was installed for this run alone: profile default" in notes
    for dialect in ("", "VirtualService"):
        assert set(ended.outcomes(dialect).values()) == {"passed"}


def test_what_a_killed_run_installed_goes_with_cleanup(tmp_path: Path) -> None:
    with begun(*RUN, *INSTALL, "-k", "rotation", folder=tmp_path) as killed:
        until = time.monotonic() + LONGEST
        while "istiod" not in kubectl("get", "deployments", "-A"):
            assert time.monotonic() < until
            time.sleep(0.5)
        killed.kill()
        killed.communicate(timeout=LONGEST)
    assert main(["cleanup"]) == 0
