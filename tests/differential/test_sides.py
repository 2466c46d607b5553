"""Generated sets are answered by the local mesh as by a real istiod; a misreading is found.

Here the sets are the same each time, so that a change is red for what it did alone. Fresh ones are
what `tox -e differential` takes.
"""

from __future__ import annotations

import contextlib
import os
import sys

import pytest

from tests.differential.comparing import Comparer
from tests.differential.meshes import open_pair
from tests.differential.misreadings import MISREADINGS
from tests.differential.run import Options, find_first, run
from tests.mesh.istiod.conftest import pilot_discovery

__all__ = ["pilot_discovery"]
pytestmark = pytest.mark.istiod
#: The seed of the sets, unless MESHPROOF_SEED has another, and how many they are.
_SEED, _SETS = 4711, 60


def test_generated_sets_are_answered_alike(pilot_discovery: str) -> None:
    seed = int(os.environ.get("MESHPROOF_SEED") or _SEED)
    lines: list[str] = []
    options = Options(pilot_discovery, _SETS, seed, reduced=3, has_trials=False)
    report = run(options, lines.append)
    sys.stdout.write("\n".join(lines))  # in the log of a run that fails
    assert report.served * 3 > report.sets == _SETS, report.describe()
    assert not report.unexplained, f"seed {seed}: {report.describe()}"


@pytest.mark.long
@pytest.mark.parametrize("name", MISREADINGS)
def test_a_planted_misreading_is_found(
    pilot_discovery: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    MISREADINGS[name](monkeypatch)
    with open_pair(pilot_discovery) as pair, contextlib.closing(Comparer(pair)) as comparer:
        number, kind = find_first(comparer, 500, 1)
    assert number, "no set shows it"
    assert kind
