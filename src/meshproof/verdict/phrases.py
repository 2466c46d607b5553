"""Formats numbers and promises for reasons and reports."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from meshproof.verdict.comparison import CAUGHT
from meshproof.verdict.settings import EPS

if TYPE_CHECKING:
    from meshproof.verdict.record import Verdict


def format_percent(share: float) -> str:
    """Return a share (0 to 1) as `51.2 %`; below 1 and above 99 with two decimals."""
    value = 100 * share
    if 0 < value < 0.01:
        return f"{value:.2g} %"
    text = f"{value:.1f}" if 1 <= value <= 99 else f"{value:.2f}"
    return text.rstrip("0").rstrip(".") + " %" if "." in text else f"{text} %"


def format_points(difference: float) -> str:
    """Return a difference of shares (0 to 1) as `10 points`."""
    value = format_percent(difference).removesuffix(" %")
    return "1 point" if value == "1" else f"{value} points"


def format_rate(rate: float) -> str:
    """Return an error rate (0 to 1) as `1 time in 1000`, never smaller than it is."""
    inverse = 1 / rate * (1 + EPS)
    unit = 10.0 ** max(0, math.floor(math.log10(inverse)) - 1)  # keeps two digits
    return f"1 time in {_large(math.floor(inverse / unit) * unit)}"


def format_odds(log_odds: float) -> str:
    """Return natural log odds as `1100 to 1`; 0 is `1 to 1`."""
    if log_odds > 100:
        return "beyond doubt"
    odds = math.exp(log_odds)
    return f"{_large(odds)} to 1" if odds >= 10 else f"{odds:.2g} to 1"


def _large(number: float) -> str:
    """Return a number of 1 or more with at most three digits beyond a thousand."""
    for size, name in ((1e12, None), (1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:.3g} {name}" if name else f"{number:.0e}".replace("e+", "e")
    return f"{float(f'{number:.3g}'):.0f}" if number >= 1000 else f"{number:.0f}"


def format_answers(n: int) -> str:
    """Return `1 answer` or `28 answers`."""
    return "1 answer" if n == 1 else f"{n} answers"


def join_names(names: Sequence[str]) -> str:
    """Return names as `v1, v2 and v3`."""
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)


def find_only_version(expected: Mapping[str, float]) -> str | None:
    """Return the version that is promised all answers, None if there is none."""
    return next((version for version, share in expected.items() if share >= 1), None)


def find_versions_without_weight(expected: Mapping[str, float]) -> list[str]:
    """Return the versions with weight 0."""
    return [version for version, share in expected.items() if share <= 0]


def describe_promise(kind: str, expected: Mapping[str, float]) -> str:
    """Return a promise in words: `v1 50 %, v2 50 %`, `only v3`, `v1 and v2, no other`.

    Of a comparison: `v1 34 %, v2 66 %, as before`.
    """
    if kind == "presence":
        return f"{join_names(list(expected))}, no other"
    shares = ", ".join(f"{version} {format_percent(share)}" for version, share in expected.items())
    if kind == "comparison":
        return f"{shares}, as before"
    alone = find_only_version(expected)
    return f"only {alone}" if alone else shares


def describe_expected(verdict: Verdict) -> str:
    """Return what was promised: `v1 50 %, v3 50 % (within 10 points)`, `only v3 (leak ...)`."""
    return f"{describe_promise(verdict.kind, verdict.expected)} ({describe_bound(verdict)})"


def describe_bound(verdict: Verdict) -> str:
    """Return the errors that a check detects: `within 10 points, leak below 1 %`."""
    settings, shares = verdict.settings, verdict.expected.values()
    if verdict.kind == "presence":
        return f"a share of {format_percent(settings.present)} or more is seen"
    if verdict.kind == "comparison":
        return f"within {format_points(CAUGHT)}"
    bounds = []
    if any(0 < share < 1 for share in shares):
        bounds.append(f"within {format_points(settings.tolerance)}")
    if any(share in (0, 1) for share in shares):
        bounds.append(f"leak below {format_percent(settings.leak)}")
    return ", ".join(bounds)


def describe_wrong_split(expected: Mapping[str, float], version: str, share: float) -> str:
    """Describe a wrong split, such as `v1/v2 at 60/40`."""
    if expected[version] >= 1:
        return f"other versions getting {format_percent(1 - share)} in all"
    if len(expected) == 2:
        pair = [format_percent(value).removesuffix(" %") for value in (share, 1 - share)]
        return f"{'/'.join(expected)} at {'/'.join(pair)}"
    if share <= 0:
        return f"{version} missing"
    return f"{version} at {format_percent(share)} instead of {format_percent(expected[version])}"
