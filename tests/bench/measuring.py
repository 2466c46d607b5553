"""What the benches measure with: whole processes, in turn, medians, ratios pair by pair."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """A figure as it is printed, and what it is to reach (empty: only to be known)."""

    name: str
    figure: str
    aim: str = ""


@contextlib.contextmanager
def empty_folder() -> Iterator[Path]:
    """Enter an empty folder that is gone afterwards; temporary files go elsewhere."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="meshproof-bench-") as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a user: Python keeps what it has compiled."""
    unlike = ("PYTHONDONTWRITEBYTECODE", "PYTEST_ADDOPTS", "CI")
    return {**{name: value for name, value in os.environ.items() if name not in unlike}, **more}


def timed(command: Sequence[str], **env: str) -> float:
    """Return the seconds that a command takes. Raises RuntimeError unless it ends with 0."""
    began = time.perf_counter()
    done = subprocess.run(
        command,
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    took = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    return took


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def in_turn(measures: Sequence[Callable[[], float]], rounds: int) -> list[list[float]]:
    """Return each measure's results; they take turns, after one round that does not count."""
    found: list[list[float]] = [[] for _ in measures]
    for number in range(rounds + 1):
        for measure, results in zip(measures, found, strict=True):
            result = measure()
            if number:
                results.append(result)
    return found


def ratio(over: Iterable[float], under: Iterable[float]) -> float:
    """Return the median of the ratios pair by pair: a machine that drifts changes both alike."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def median(values: Sequence[float], unit: str = "s", scale: float = 1) -> str:
    """Return the median as words; it is in seconds times `scale`."""
    digits = 2 if unit == "s" else 0
    return f"{statistics.median(values) * scale:.{digits}f} {unit}"
