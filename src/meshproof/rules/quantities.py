"""How dialects write times and percentages."""

from __future__ import annotations

import re

from meshproof.documents.manifest import Value

#: Go's durations (time.ParseDuration), as Kubernetes takes them: 5s, 100ms, 1h30m.
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(value: Value) -> float:
    """Return a duration in seconds, 0 or more. Raises BadRules for what is none."""
    text = value.text()
    parts = _PART.findall(text)
    if text == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise value.error("a duration as 5s, 100ms or 1m30s")
    return float(sum(float(number) * _SECONDS[unit] for number, unit in parts))


def percent(value: Value) -> float:
    """Return a number from 0 to 100. Raises BadRules for another."""
    found = value.content
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 <= found <= 100:
        raise value.error("a number from 0 to 100")
    return float(found)


def percentage(parent: Value, key: str, old: str, default: float) -> float:
    """Return what stands under `key` as {value: 12.5}, or under its deprecated twin as 12."""
    found, plain = parent.get(key), parent.get(old)
    if found is not None:
        found.allow("value")
        number = found.get("value")
        return percent(number) if number else 0.0  # a protobuf number that is left out
    return percent(plain) if plain else default
