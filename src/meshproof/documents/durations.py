"""Durations as Go writes them (time.ParseDuration), as Kubernetes and Istio read them."""

from __future__ import annotations

import re

_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
#: What a duration looks like, for messages.
EXAMPLES = "a duration as 5s, 100ms or 1m30s"


def parse_duration(text: str) -> float | None:
    """Return a duration (`1m30s`, `.5s`, `0`) in seconds, 0 or more; None for any other text."""
    if text == "0":
        return 0.0
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
