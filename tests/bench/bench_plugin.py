"""What the plugin costs a pytest run that does not use it."""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.measuring import Row, empty_folder, in_turn, median, python, ratio, timed

ROUNDS = 25
TRIVIAL = "def test_one():\n    assert 1 + 1 == 2\n"
#: Plugins of this environment that do not come with meshproof.
OTHERS = ("hypothesispytest", "xdist", "xdist.looponfail")


def run(program: list[str], *off: str) -> Callable[[], float]:
    """Return what takes the seconds of the trivial run without the plugins `off`."""
    flags = [f"-pno:{name}" for name in off]
    return lambda: timed([*program, "-m", "pytest", "-q", "-p", "no:cacheprovider", *flags])


def without_us(folder: Path) -> list[str]:
    """Return the Python of a venv that has pytest and nothing else."""
    subprocess.run(python("-m", "venv", str(folder)), check=True)
    program = str(folder / "bin" / "python")
    subprocess.run([program, "-m", "pip", "install", "-q", "pytest"], check=True)
    return [program]


def rows(options: argparse.Namespace) -> Iterator[Row]:
    with empty_folder() as folder:
        bare = without_us(folder / "venv")
        (folder / "test_trivial.py").write_text(TRIVIAL)
        unused, off, alone, plugin, pytest = in_turn(
            [
                run(python(), *OTHERS),
                run(python(), *OTHERS, "meshproof.plugin"),
                run(bare),
                lambda: timed(python("-c", "import meshproof.plugin")),
                lambda: timed(python("-c", "import pytest")),
            ],
            ROUNDS,
        )
    yield Row("trivial pytest run, plugin there but unused", median(unused, "ms", 1000))
    yield Row("  over -p no:meshproof.plugin, pair by pair", f"{ratio(unused, off):.3f}", "<= 1.1")
    yield Row("  over a venv with pytest alone", f"{ratio(unused, alone):.3f}", "<= 1.1")
    more = [a - b for a, b in zip(plugin, pytest, strict=True)]
    yield Row("import meshproof.plugin, beyond pytest itself", median(more, "ms", 1000))
