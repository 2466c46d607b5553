"""`python -m tests.differential.planting`: how many generated sets it takes to find a misreading.

The meshes are asked only about sets whose routes the misreading changes: others cannot show it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import pytest

from meshproof.base.errors import MeshproofError
from meshproof.mesh.envoy.envoy import Resource
from tests.differential.comparing import Comparer, read_set
from tests.differential.generator import GeneratedSet
from tests.differential.meshes import open_pair, translate_routes
from tests.differential.misreadings import MISREADINGS, Plant
from tests.differential.run import compare_set, find_explanation, read_options, visit_sets
from tests.mesh.istiod.conftest import LAB


class PlantedSet:
    """A generated set, and the routes that it has without a misreading."""

    def __init__(self, generated: GeneratedSet) -> None:
        self.generated = generated

    @cached_property
    def _routes(self) -> list[Resource] | None:
        return _translate(self.generated)

    def is_changed_by(self, plant: Plant) -> bool:
        """Say whether a misreading changes the routes of this set."""
        own_routes = self._routes
        with pytest.MonkeyPatch.context() as patch:
            plant(patch)
            return _translate(self.generated) != own_routes


def _translate(generated: GeneratedSet) -> list[Resource] | None:
    """Return the routes of a set, None for one that is refused."""
    try:
        rules = read_set(generated)
        return translate_routes(rules) if rules else None
    except MeshproofError:
        return None


def list_sets(count: int, seed_number: int) -> list[PlantedSet]:
    """Return so many generated sets, always the same for a seed."""
    sets: list[PlantedSet] = []

    def visit(generated: GeneratedSet) -> bool:
        sets.append(PlantedSet(generated))
        return True

    visit_sets(count, seed_number, visit)
    return sets


def find_plant(comparer: Comparer, sets: Sequence[PlantedSet], plant: Plant) -> tuple[int, str]:
    """Return which set is the first to show a misreading, and how; 0 for none."""
    for number, planted in enumerate(sets, start=1):
        if not planted.is_changed_by(plant):
            continue
        with pytest.MonkeyPatch.context() as patch:
            plant(patch)
            kinds = _list_kinds(comparer, planted.generated)
        if kinds:
            without_plant = _list_kinds(comparer, planted.generated)
            kinds = [kind for kind in kinds if kind not in without_plant]
        if kinds:
            return number, kinds[0]
    return 0, ""


def _list_kinds(comparer: Comparer, generated: GeneratedSet) -> list[str]:
    """Return the kinds of difference that a set shows, without those that are explained."""
    kinds = [difference.kind for difference in compare_set(comparer, generated).differences]
    return [kind for kind in kinds if find_explanation(kind) is None]


def find_all(
    istiod: str, count: int, seed_number: int, names: Sequence[str]
) -> Iterator[tuple[str, int, str]]:
    """Yield each misreading with the first set that shows it (0: none does), and how."""
    sets = list_sets(count, seed_number)
    with open_pair(istiod) as pair, contextlib.closing(Comparer(pair)) as comparer:
        for name in names:
            yield name, *find_plant(comparer, sets, MISREADINGS[name])


def main(write: Callable[[str], object] = sys.stdout.write) -> int:
    """Run the command; return its exit code."""
    if (LAB / "etcd").exists():
        os.environ.setdefault("KUBEBUILDER_ASSETS", str(LAB))
    options = read_options()
    write(f"misreadings in {options.sets} sets, seed {options.seed}\n")
    missed = 0
    for name, number, kind in find_all(
        options.istiod, options.sets, options.seed, list(MISREADINGS)
    ):
        missed += not number
        write(f"{name}: {f'set {number}, {kind}' if number else 'NOT FOUND'}\n")
        sys.stdout.flush()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
