"""Generated sets are answered by the local mesh as by a real istiod; a misreading is found.

Here the sets are the same each time, so that a change is red for what it did alone. Fresh ones are
what `tox -e differential` takes.
"""

from __future__ import annotations

import os
import sys

import pytest

from tests.differential.misreadings import MISREADINGS
from tests.differential.planting import find_all
from tests.differential.run import Options, run
from tests.mesh.istiod.conftest import pilot_discovery

__all__ = ["pilot_discovery"]
pytestmark = pytest.mark.istiod
#: The seed of the sets, unless MESHPROOF_SEED has another, and how many they are.
_SEED, _SETS = 77001, 60


def test_generated_sets_are_answered_alike(pilot_discovery: str) -> None:
    seed = int(os.environ.get("MESHPROOF_SEED") or _SEED)
    lines: list[str] = []
    options = Options(pilot_discovery, _SETS, seed, reduced=3)
    report = run(options, lines.append)
    sys.stdout.write("\n".join(lines))  # in the log of a run that fails
    assert report.served * 3 > report.sets == _SETS, report.describe()
    assert not report.unexplained, f"seed {seed}: {report.describe()}"


@pytest.mark.long
def test_planted_misreadings_are_found(pilot_discovery: str) -> None:
    found = find_all(pilot_discovery, 500, 1, list(MISREADINGS))
    numbers = {name: number for name, number, _ in found}
    assert numbers
    assert all(numbers.values()), f"no set shows one with 0: {numbers}"
