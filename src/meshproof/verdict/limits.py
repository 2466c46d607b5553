"""Describes the limits of a check: their values, where they come from, which are looser."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict

from meshproof.verdict.phrases import format_answers, format_percent, format_points, format_rate
from meshproof.verdict.settings import Settings


def _format_amount(value: float) -> str:
    """Return an allowance of answers: a share below 1, else a count."""
    return format_percent(value) if 0 < value < 1 else format_answers(int(value))


#: Setting -> its name in a report, and how its value is formatted.
_PHRASES: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "tolerance": ("tolerance", format_points),
    "leak": ("leak", format_percent),
    "present": ("smallest share", format_percent),
    "beta": ("beta", format_rate),
    "budget": ("budget", lambda value: format_answers(int(value))),
    "look_every": ("a look every", lambda value: format_answers(int(value))),
    "unnamed_budget": ("allowed to name no version", _format_amount),
}
#: Settings that let greater faults through when their value is greater.
_LOOSER_IF_GREATER = ("tolerance", "leak", "present", "beta", "unnamed_budget")


def describe_limits(kind: str, expected: Mapping[str, float], settings: Settings) -> list[str]:
    """Return the limits that matter for a check, each with its origin (nothing if that is unknown).

    `tolerance 20 points (shop.yaml:7, looser than the run's 10 points)`, `beta 1 time in 1000
    (profile gate)`
    """
    return [
        _describe_limit(name, settings) for name in _iter_relevant_names(kind, expected, settings)
    ]


def describe_loosened(kind: str, expected: Mapping[str, float], settings: Settings) -> list[str]:
    """Return each limit in `settings` that is looser than the run's: what both are, and who set it.

    `kind` and the shares `expected` of the check say which limits matter to it.
    """
    return [
        f"{_format_setting(name, getattr(settings, name))}, not {_format_value(name, run)} "
        f"({settings.origins[name].by})"
        for name in _iter_relevant_names(kind, expected, settings)
        if (run := settings.origins[name].run) is not None
        and _compare_with_run(name, settings) == "looser"
    ]


def to_json_values(
    kind: str, expected: Mapping[str, float], settings: Settings
) -> dict[str, dict[str, object]]:
    """Return the limits as plain JSON values: name -> value, by, run."""
    return {
        name: {"value": getattr(settings, name), **asdict(settings.origins[name])}
        for name in _iter_relevant_names(kind, expected, settings)
    }


def _iter_relevant_names(
    kind: str, expected: Mapping[str, float], settings: Settings
) -> Iterator[str]:
    """Yield the settings that matter for a check and have a known origin."""
    shares = expected.values()
    is_relevant = {
        "tolerance": kind == "weights" and any(0 < share < 1 for share in shares),
        "leak": kind == "weights" and any(share <= 0 or share >= 1 for share in shares),
        "present": kind == "presence",
    }
    for name in _PHRASES:
        if name in settings.origins and is_relevant.get(name, True):
            yield name


def _describe_limit(name: str, settings: Settings) -> str:
    """Return one limit with its value and origin, and how it compares with the run's."""
    origin = settings.origins[name]
    comparison = ""
    if origin.run is not None:
        run_value = _format_value(name, origin.run)
        comparison = f", {_compare_with_run(name, settings)} than the run's {run_value}"
    return f"{_format_setting(name, getattr(settings, name))} ({origin.by}{comparison})"


def _compare_with_run(name: str, settings: Settings) -> str:
    """Return whether a setting is looser or stricter than the run's, or just other."""
    run = settings.origins[name].run or 0
    if name not in _LOOSER_IF_GREATER:
        return "other"
    return "looser" if getattr(settings, name) > run else "stricter"


def _format_setting(name: str, value: float) -> str:
    return f"{_PHRASES[name][0]} {_format_value(name, value)}"


def _format_value(name: str, value: float) -> str:
    return _PHRASES[name][1](value)
