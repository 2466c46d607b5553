"""The settings of a check: its error rates, and the faults that it must catch.

Source of every default: statistics.md, section 1 (parameter table).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

_MIN_TOLERANCE = 0.005  # of a tolerance that follows the weights: requests grow as 1/tolerance²
EPS = 1e-9  # shares closer than this to 0, 1 or a bound count as equal to it


class Outcome(StrEnum):
    """The three outcomes of a judge; only `passed` holds the promise."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Origin:
    """Where a setting comes from: `by` in words (`profile gate`, `--tolerance`, `shop.yaml:7`).

    run: the run's value where a rule or a check sets another, else None.
    """

    by: str
    run: float | None = None


@dataclass(frozen=True)
class Settings:
    """Error rates and limits of one check.

    tolerance: share error that must be caught, 0 to 1 (0.10 = 10 points).
    leak: share of a version with weight 0 that must be caught, 0 to 1.
    alpha: chance that a mesh that keeps its weights fails on shares.
    alpha_independence: chance that independent answers are called regular or correlated.
    beta: chance that a split off by `tolerance` (or a leak of `leak`) passes.
    look_every: answers per look; the verdict may fall only after a whole batch.
    budget: most answers to judge; None = n_max. Below n_max the check may be inconclusive.
    independence: judge the order of the answers too (weights only).
    unnamed_budget: answers that may name no version; below 1 a share of all answers, else a
        count. None = a tenth of `tolerance`: unseen, they move a share by no more than that.
        One is always let through, except where some declared share is 0 or 1: there none is.
    present: presence checks only, the smallest share that counts as present, 0 to 1.
    origins: where these values come from, by name, as far as that is known.

    Raises ValueError for a value out of range.
    """

    tolerance: float = 0.10
    leak: float = 0.01
    alpha: float = 5e-5
    alpha_independence: float = 5e-5
    beta: float = 1e-3
    look_every: int = 10
    budget: int | None = None
    independence: bool = True
    unnamed_budget: float | None = None
    present: float = 0.10
    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        for name in ("tolerance", "leak", "alpha", "alpha_independence", "beta", "present"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise ValueError(f"{name} must lie between 0 and 1, not {value!r}")
        if self.look_every < 1:
            raise ValueError(f"look_every must be 1 answer or more, not {self.look_every!r}")
        if self.budget is not None and self.budget < 1:
            raise ValueError(f"budget must be 1 answer or more, not {self.budget!r}")
        if self.unnamed_budget is not None and not 0 <= self.unnamed_budget < math.inf:
            raise ValueError(f"unnamed_budget must be 0 or more, not {self.unnamed_budget!r}")

    @property
    def unnamed_allowed(self) -> float:
        """`unnamed_budget`, or its default."""
        return self.tolerance / 10 if self.unnamed_budget is None else self.unnamed_budget

    def _get_effective(self, name: str) -> float | None:
        """Return the value of a setting, with the default of `unnamed_budget`."""
        value: float | None = getattr(self, "unnamed_allowed" if name == "unnamed_budget" else name)
        return value

    def with_run_alpha(self, alpha_run: float, checks: int) -> Settings:
        """Return these settings for one of the checks that share a run's false alarm rate.

        Raises ValueError as `share_alpha` does.
        """
        alpha, independence = share_alpha(alpha_run, checks)
        return replace(self, alpha=alpha, alpha_independence=independence)

    def with_values(
        self, by: str, values: Mapping[str, float], *, is_local: bool = False
    ) -> Settings:
        """Return these settings with other `values` by name, whose origin is `by`.

        is_local: the values are those of one rule or check; the run's are kept for comparison.
        Raises ValueError for a value out of range.
        """
        origins = dict(self.origins)
        for name, value in values.items():
            origin = origins.get(name)
            run = self._get_effective(name) if origin is None or origin.run is None else origin.run
            origins[name] = Origin(by, run if is_local and run != value else None)
        changes: dict[str, Any] = dict(values)
        return replace(self, origins=origins, **changes)

    def with_expected(self, expected: object) -> Settings:
        """Return these settings for a check of what is expected, as `Judge` takes it.

        A tolerance of the profile follows the smallest weight above 0: with half of it a share of
        10 % is told from 5 % and from 15 %. It never gets wider than the profile's, nor below
        half a point. Where somebody chose a tolerance, that holds.
        """
        origin = self.origins.get("tolerance")
        if origin is None or origin.by not in _PROFILE_LABELS or not isinstance(expected, Mapping):
            return self
        shares = [share for share in read_shares(expected).values() if share > 0]
        tolerance = max(min(shares) / 2, _MIN_TOLERANCE)
        if len(shares) < 2 or tolerance >= self.tolerance - EPS:
            return self
        return self.with_values(
            "half of the smallest weight", {"tolerance": tolerance}, is_local=True
        )


def _build_profile(name: str, tolerance: float, leak: float) -> Settings:
    """Return the settings of a profile."""
    same = {"beta": Settings.beta, "present": Settings.present}
    return Settings().with_values(f"profile {name}", {"tolerance": tolerance, "leak": leak, **same})


PROFILES: Mapping[str, Settings] = {
    name: _build_profile(name, tolerance, leak)
    for name, tolerance, leak in (("gate", 0.10, 0.01), ("nightly", 0.05, 0.001))
}
_PROFILE_LABELS = {settings.origins["tolerance"].by for settings in PROFILES.values()}


def share_alpha(alpha_run: float, checks: int) -> tuple[float, float]:
    """Split a run's false alarm rate evenly: (`alpha`, `alpha_independence`) of each check.

    `checks` is the number of collected checks, fixed before the first request and counted
    over all workers. Bonferroni, so the run's rate holds however the checks depend on each
    other (statistics.md, section 4). Raises ValueError for a rate or a count out of range.
    """
    if not 0 < alpha_run < 1:
        raise ValueError(f"alpha_run must lie between 0 and 1, not {alpha_run!r}")
    if checks < 1:
        raise ValueError(f"a run has 1 check or more, not {checks!r}")
    check_alpha = alpha_run / (2 * checks)
    return check_alpha, check_alpha


def read_shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Return weights as shares that sum to 1, in the given order.

    Shares that already sum to 1 are kept to the last bit, so that a stored verdict is
    replayed with the numbers it was made with. Raises ValueError for no weights, for a
    negative or infinite one, and if all are 0.
    """
    if not weights:
        raise ValueError("no weights declared: name at least one version")
    for name, weight in weights.items():
        if not 0 <= weight < math.inf:
            raise ValueError(f"the weight of {name} must be 0 or more, not {weight!r}")
    total = math.fsum(weights.values())
    if total <= 0:
        raise ValueError(f"all weights are 0 ({', '.join(weights)}): no version may answer")
    scale = 1.0 if abs(total - 1) < 1e-12 else total
    return {name: float(weight) / scale for name, weight in weights.items()}


def read_names(names: Iterable[str], present: float) -> tuple[str, ...]:
    """Return the versions of a presence check, in the given order.

    Raises ValueError for no names, a name given twice, one bare string, or more versions
    than can have a share of `present` each.
    """
    if isinstance(names, str):
        raise ValueError(f"expected several version names, not the one string {names!r}")
    versions = tuple(names)
    if not versions:
        raise ValueError("no versions declared: name at least one")
    if len(set(versions)) < len(versions):
        raise ValueError(f"a version is named twice in {', '.join(versions)}")
    if len(versions) * present > 1 + EPS:
        raise ValueError(
            f"{len(versions)} versions cannot each have a share of {present:g}: lower `present`"
        )
    return versions
