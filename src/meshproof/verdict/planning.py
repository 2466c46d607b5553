"""Computes what a check will cost before it is run: requests at truth and for typical faults."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meshproof.verdict.judging import Declared
from meshproof.verdict.limits import describe_limits
from meshproof.verdict.nmax import count_clean_answers
from meshproof.verdict.phrases import describe_promise, format_percent
from meshproof.verdict.presence import Presence
from meshproof.verdict.recursion import Course, compute_courses, count_answers_per_look
from meshproof.verdict.settings import EPS, Settings, read_names, read_shares
from meshproof.verdict.strikeoff import StrikeOff

EXACT = "exact for independent answers"
ESTIMATE = (
    "estimates, from one version against the rest; with three versions the true mean at truth "
    "is up to a quarter higher"
)
EQUAL = "exact for versions that answer equally often"


@dataclass(frozen=True)
class Scenario:
    """One row of a plan: what the mesh really does, and what the check then costs.

    mean: expected answers. passes, fails: chances (0 to 1) by shares alone.
    """

    name: str
    mean: float
    passes: float
    fails: float


@dataclass(frozen=True)
class Plan:
    """The cost of a check in answers that name a version.

    n_max: answers after which the check is decided. limit: the same, or a lower budget.
    basis: what the scenarios rest on (exact or estimate). The order of the answers is not
    part of it: it can only end a check earlier.
    """

    kind: str
    expected: dict[str, float]
    settings: Settings
    n_max: int
    limit: int
    basis: str
    scenarios: tuple[Scenario, ...]

    def __str__(self) -> str:
        width = max(len(scenario.name) for scenario in self.scenarios)
        budget = f", here {self.limit} by budget" if self.limit < self.n_max else ""
        what = describe_promise(self.kind, self.expected)
        rows = [("if there is", "requests", "passes", "fails")]
        rows += [
            (s.name, f"{s.mean:.0f}", _format_chance(s.passes), _format_chance(s.fails))
            for s in self.scenarios
        ]
        return "\n".join(
            [
                f"{what}: never more than {self.n_max} requests{budget}",
                *(f"  {row[0]:{width}}" + "".join(f"{x:>10}" for x in row[1:]) for row in rows),
                f"  ({self.basis})",
                *(
                    f"  {limit}"
                    for limit in describe_limits(self.kind, self.expected, self.settings)
                ),
            ]
        )


def _format_chance(chance: float) -> str:
    """Return a chance as a percentage, tiny ones in scientific notation."""
    if 0 < chance < 1e-4:
        return f"{chance:.1e}"
    return format_percent(chance)


def plan(expect: Declared, settings: Settings | None = None) -> Plan:
    """Return what judging `expect` will cost; arguments and errors as for `Judge`."""
    settings = settings or Settings()
    if not isinstance(expect, Mapping):
        return _plan_presence(read_names(expect, settings.present), settings)
    shares = read_shares(expect)
    test = StrikeOff(shares, settings)
    limit = min(test.n_max, settings.budget or test.n_max)
    if max(shares.values()) >= 1:
        basis, scenarios = EXACT, _build_single_version_scenarios(shares, settings, limit)
    else:
        is_exact = sum(share > 0 for share in shares.values()) == 2
        basis = EXACT if is_exact else ESTIMATE
        if (rarely := count_answers_per_look(settings.look_every, limit)) > settings.look_every:
            basis = (
                f"{'estimates' if is_exact else ESTIMATE}, as if it looked each {rarely} answers"
            )
        scenarios = _build_scenarios(shares, settings, limit)
    return Plan("weights", shares, settings, test.n_max, limit, basis, tuple(scenarios))


def _build_scenarios(shares: Mapping[str, float], settings: Settings, limit: int) -> list[Scenario]:
    """Return the truth and faults of the smallest version; exact for two versions with traffic."""
    version = min((v for v, share in shares.items() if share > 0), key=lambda v: shares[v])
    share, step = shares[version], settings.tolerance
    faults = {
        f"{version} at {format_percent(share + add)} ({word})": share + add
        for word, add in (
            ("half the tolerance off", step / 2),
            ("off by the tolerance", step),
            ("off by twice the tolerance", 2 * step),
        )
        if share + add < 1 - EPS
    }
    names = ["what is declared", *faults, f"no {version}"]
    version_courses = _compute_courses(
        version, shares, settings, limit, [share, *faults.values(), 0.0]
    )
    if sum(value > 0 for value in shares.values()) > 2:
        slowest = min(shares, key=lambda v: abs(shares[v] - 0.5))
        version_courses[:1] = _compute_courses(slowest, shares, settings, limit, [shares[slowest]])
    return [
        Scenario(name, course.mean, course.passes, course.fails)
        for name, course in zip(names, version_courses, strict=True)
    ]


def _compute_courses(
    version: str,
    shares: Mapping[str, float],
    settings: Settings,
    limit: int,
    true_shares: Sequence[float],
) -> list[Course]:
    """Return how the check ends for each of the true shares of `version`: chances and mean length.

    All other versions with traffic are taken as one; those that must get none stay.
    """
    zero = {v: 0.0 for v, share in shares.items() if share <= 0}
    remainder = "\0".join(v for v in shares if v != version)  # a name that no version has
    test = StrikeOff({version: shares[version], remainder: 1 - shares[version], **zero}, settings)
    return compute_courses(test, true_shares, min(limit, test.n_max))


def _build_single_version_scenarios(
    shares: Mapping[str, float], settings: Settings, limit: int
) -> list[Scenario]:
    """Return the scenarios of a check that one version answers alone: the truth and a leak."""
    clean, leak = count_clean_answers(settings.leak, settings.beta), settings.leak
    enough = float(limit >= clean)
    alone = next(v for v, share in shares.items() if share >= 1)
    mean, n, still = 0.0, 0, 1.0
    while n < limit:
        step = min(settings.look_every - n % settings.look_every, limit - n)
        mean += still * step
        still, n = still * (1 - leak) ** step, n + step
    return [
        Scenario(f"only {alone}", float(limit), enough, 0.0),
        Scenario(f"a leak of {format_percent(leak)}", mean, still * enough, 1 - still),
    ]


def _plan_presence(names: Sequence[str], settings: Settings) -> Plan:
    """Return the plan of a presence check: all versions in equal parts, and one missing."""
    test = Presence(names, settings)
    limit = min(test.n_max, settings.budget or test.n_max)
    every = settings.look_every
    last = min(limit, math.ceil(test.patience / every) * every)  # then unseen is missing
    passed, mean, n = 0.0, 0.0, 0
    fails = _chance_of_unseen(len(names), last) if limit >= test.patience else 0.0
    while n < limit:
        step = min(every - n % every, limit - n)
        mean += step * (1 - passed - (fails if n >= last else 0.0))
        n += step
        passed = 1 - _chance_of_unseen(len(names), min(n, last)) if n >= test.clean else 0.0
    expected = dict.fromkeys(names, settings.present)
    scenarios = (
        Scenario("all of them", mean, passed, fails),
        Scenario("one missing", float(last), 0.0, float(limit >= test.patience)),
    )
    return Plan("presence", expected, settings, test.n_max, limit, EQUAL, scenarios)


def _chance_of_unseen(versions: int, n: int) -> float:
    """Return the chance that one of equally likely versions is unseen after n answers."""
    return math.fsum(
        (-1) ** (j + 1) * math.comb(versions, j) * (1 - j / versions) ** n
        for j in range(1, versions + 1)
    )
