from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import cycle, islice

import pytest

from meshproof.verdict import Settings, Verdict, judge

# the error rates of statistics.md, section 8: one check of a run of 500
STRICT = Settings(tolerance=0.05, alpha=1e-7, alpha_independence=1e-7, look_every=1)

Repeat = Callable[..., Verdict]
FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture
def figure(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Note a measured figure; `pytest -v` lists them at the end."""
    return pytestconfig.stash.setdefault(FIGURES, []).append


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    found = config.stash.get(FIGURES, [])
    if found and config.get_verbosity() > 0:
        terminalreporter.section("measured figures of the judge")
        for line in found:
            terminalreporter.write_line(line)


@pytest.fixture
def strict() -> Settings:
    return STRICT


@pytest.fixture
def repeat() -> Repeat:
    """Judge a pattern of answers, repeated as long as it takes."""

    def run(pattern: list[str], expect: dict[str, float], **changes: object) -> Verdict:
        settings = replace(STRICT, independence=False, **changes)
        return judge(islice(cycle(pattern), 20_000), expect, settings)

    return run


@pytest.fixture
def draws() -> Callable[..., Iterator[str]]:
    """Independent answers with the given true shares, without end."""

    def run(shares: dict[str, float], seed: int) -> Iterator[str]:
        rng = random.Random(seed)
        while True:
            yield from rng.choices(list(shares), list(shares.values()), k=50)

    return run
