"""The limits that a check is judged by: their values, where they come from, which are looser."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict

from meshproof.verdict.phrases import answers, percent, points, times
from meshproof.verdict.settings import Settings


def _amount(value: float) -> str:
    return percent(value) if 0 < value < 1 else answers(int(value))


#: Setting -> its name in a report, and how its value is said.
_WORDS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "tolerance": ("tolerance", points),
    "leak": ("leak", percent),
    "present": ("smallest share", percent),
    "beta": ("beta", times),
    "budget": ("budget", lambda value: answers(int(value))),
    "look_every": ("a look every", lambda value: answers(int(value))),
    "unnamed_budget": ("allowed to name no version", _amount),
}
#: A greater value lets greater faults through.
_LOOSER = ("tolerance", "leak", "present", "beta", "unnamed_budget")


def limits(kind: str, expected: Mapping[str, float], settings: Settings) -> list[str]:
    """Return what matters for a check, each with where it comes from (nothing if that is unknown).

    `tolerance 20 points (shop.yaml:7, looser than the run's 10 points)`, `beta 1 time in 1000
    (profile gate)`
    """
    return [_limit(name, settings) for name in _named(kind, expected, settings)]


def loosened(kind: str, expected: Mapping[str, float], settings: Settings) -> list[str]:
    """Return what a rule or a check has set that lets more through than the run's options do."""
    return [
        f"{_said(name, getattr(settings, name))}, not {_value(name, run)} "
        f"({settings.origins[name].by})"
        for name in _named(kind, expected, settings)
        if (run := settings.origins[name].run) is not None and _word(name, settings) == "looser"
    ]


def stored(
    kind: str, expected: Mapping[str, float], settings: Settings
) -> dict[str, dict[str, object]]:
    """Return the same as plain JSON values: name -> value, by, run."""
    return {
        name: {"value": getattr(settings, name), **asdict(settings.origins[name])}
        for name in _named(kind, expected, settings)
    }


def _named(kind: str, expected: Mapping[str, float], settings: Settings) -> Iterator[str]:
    shares = expected.values()
    matter = {
        "tolerance": kind == "weights" and any(0 < share < 1 for share in shares),
        "leak": kind == "weights" and any(share <= 0 or share >= 1 for share in shares),
        "present": kind == "presence",
    }
    for name in _WORDS:
        if name in settings.origins and matter.get(name, True):
            yield name


def _limit(name: str, settings: Settings) -> str:
    origin = settings.origins[name]
    beside = ""
    if origin.run is not None:
        beside = f", {_word(name, settings)} than the run's {_value(name, origin.run)}"
    return f"{_said(name, getattr(settings, name))} ({origin.by}{beside})"


def _word(name: str, settings: Settings) -> str:
    run = settings.origins[name].run or 0
    if name not in _LOOSER:
        return "other"
    return "looser" if getattr(settings, name) > run else "stricter"


def _said(name: str, value: float) -> str:
    return f"{_WORDS[name][0]} {_value(name, value)}"


def _value(name: str, value: float) -> str:
    return _WORDS[name][1](value)
