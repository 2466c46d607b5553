"""What a fault is, and where the faults are found: every `doctored_*.py` beside this file."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a mesh, and what `meshproof test` must make of it.

    `plant` spoils the mesh from inside the run's process, before anything is started. `failed`,
    `inconclusive` and `not_ready` are promise -> regex that its message must match, in each
    dialect; every other promise of the run must pass. `arguments` go to `meshproof test`. `needs`
    is an addon that the machine must have. One that is `long` takes 20 seconds of processor time
    or more, and a quicker one of its kind runs in CI.
    """

    name: str
    plant: Plant
    exit_code: int
    failed: Mapping[str, str] = field(default_factory=dict)
    inconclusive: Mapping[str, str] = field(default_factory=dict)
    not_ready: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    needs: str = ""
    is_long: bool = False


FAULTS: dict[str, Fault] = {}


def fault(
    name: str,
    *arguments: str,
    exit_code: int = 1,
    failed: Mapping[str, str] | None = None,
    inconclusive: Mapping[str, str] | None = None,
    not_ready: Mapping[str, str] | None = None,
    needs: str = "",
    is_long: bool = False,
) -> Callable[[Plant], Plant]:
    """Make a fault of the function below: it plants it, the words here say what must come of it."""

    def add(plant: Plant) -> Plant:
        assert name not in FAULTS, f"two faults are called {name}"
        FAULTS[name] = Fault(
            name,
            plant,
            exit_code,
            failed or {},
            inconclusive or {},
            not_ready or {},
            arguments,
            needs,
            is_long,
        )
        return plant

    return add


def load_faults() -> dict[str, Fault]:
    """Return every fault by its name."""
    for path in sorted(Path(__file__).parent.glob("doctored_*.py")):
        importlib.import_module(f"tests.faults.{path.stem}")
    return FAULTS
