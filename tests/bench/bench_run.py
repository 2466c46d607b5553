"""How long the whole of `meshproof test` takes, with the addons of this machine and without."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator

from meshproof.mesh.addons import list_addons
from tests.bench.measuring import Row, empty_folder, in_turn, median, python, timed

ROUNDS = 5
OFF = [f"--mesh-addon={name}=off" for name in list_addons()]


def whole() -> float:
    return timed(python("-m", "meshproof", "test"))


def without_addons() -> float:
    return timed(python("-m", "meshproof", "test", *OFF))


def rows(options: argparse.Namespace) -> Iterator[Row]:
    with empty_folder() as folder:
        bare, addons = in_turn([without_addons, whole], ROUNDS)
        record = json.loads((folder / "meshproof-report" / "run.json").read_text())
    checked = ", ".join(addons_of(record)) or "none there"
    yield Row("`meshproof test` without addons", median(bare), "<= 30 s, aim 15 s")
    yield Row(f"`meshproof test` with {checked}", median(addons), "<= 30 s")
    spent = sum(result["seconds"] for result in record["results"])
    yield Row("  of which the promises themselves, last run", f"{spent:.2f} s")


def addons_of(record: dict[str, list[dict[str, str]]]) -> list[str]:
    """Return the addons that a run has checked."""
    return [
        result["promise"].removeprefix("addon ")
        for result in record["results"]
        if result["promise"].startswith("addon ") and result["outcome"] == "passed"
    ]
