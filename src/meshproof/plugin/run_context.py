"""What one run under pytest knows of itself: one object in the stash of pytest's configuration."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from meshproof.base.phases import PhaseClock
from meshproof.options.sources import read_run_options
from meshproof.options.table import RunOptions

if TYPE_CHECKING:
    from meshproof.plugin.addon_traffic import AddonTraffic
    from meshproof.user_rules.loading import UserRules


def _ignore_progress(text: str) -> None:
    """Drop a line of progress: the run has no report writers."""


#: Fixtures that start a mesh.
MESH_FIXTURES = frozenset({"mesh", "rule_mesh"})


@dataclass
class RunContext:
    """The state of a run.

    options: its options, read from the command line, variables and the project's file.
    run_id: marks every request of the run. check_count: how many checks share the run's alpha, at
    least 1. judging_seconds: how long checks have taken so far, ended_splits: how many of them
    ended because all their seconds were spent. addons: the addons that collected tests ask for,
    addon_traffic: what was sent for them. user_rules: the rules of --mesh-rules, once they are
    read. has_excluded_test: whether a collected test reports what of them is not checked,
    has_lint_test whether one reports the errors of lint. notes: how the run is made, for its
    reports.
    phases: where its time goes. report_progress: receives each line of progress.
    """

    options: RunOptions
    run_id: str = field(default_factory=lambda: secrets.token_hex(6))
    check_count: int = 1
    judging_seconds: float = 0.0
    ended_splits: int = 0
    addons: list[str] = field(default_factory=list)
    addon_traffic: AddonTraffic | None = None
    user_rules: UserRules | None = None
    has_excluded_test: bool = False
    has_lint_test: bool = False
    notes: list[str] = field(default_factory=list)
    phases: PhaseClock = field(default_factory=PhaseClock)
    report_progress: Callable[[str], None] = _ignore_progress


_CONTEXT = pytest.StashKey[RunContext]()


def get_context(config: pytest.Config) -> RunContext:
    """Return the context of a run; the first call reads its options.

    Raises UsageError for an option out of its range, or a file that cannot be used.
    """
    if _CONTEXT not in config.stash:
        options = read_run_options(config.option.mesh_cli or "pytest", config.option)
        config.stash[_CONTEXT] = RunContext(options)
    return config.stash[_CONTEXT]


def find_context(config: pytest.Config) -> RunContext | None:
    """Return the context of a run if something has asked for it already, else None."""
    return config.stash.get(_CONTEXT, None)


def get_options(config: pytest.Config) -> RunOptions:
    """Return the options of a run. Raises what `get_context` raises."""
    return get_context(config).options
