"""What an Envoy has from its control plane, and the places where two Envoys have other values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

#: The parts of `/config_dump` -> the list in it, and where each entry has its resource.
_PARTS = {
    "RoutesConfigDump": ("route", "dynamic_route_configs", ("route_config",)),
    "ListenersConfigDump": ("listener", "dynamic_listeners", ("active_state", "listener")),
    "ClustersConfigDump": ("cluster", "dynamic_active_clusters", ("cluster",)),
}
#: What is a run's own: its addresses of loopback, and the number of its marker.
_OWN = re.compile(r"127\.\d+\.\d+\.\d+|(?<=meshproof-generation-)\d+")

Values = Mapping[tuple[str, ...], str]


def read_values(dump: str) -> dict[tuple[str, ...], str]:
    """Return each value of a `/config_dump` by its place: kind, name, and the keys down to it."""
    values: dict[tuple[str, ...], str] = {}
    for part in json.loads(dump).get("configs", ()):
        kind = part.get("@type", "").rpartition(".")[2]
        if kind not in _PARTS:
            continue
        word, key, steps = _PARTS[kind]
        for entry in part.get(key, ()):
            resource: Any = entry
            for step in steps:
                resource = resource.get(step, {})
            name = _hide_own(str(resource.get("name", "")))
            values.update(_flatten((word, name), resource))
    return values


def list_differences(before: Values, after: Values) -> list[tuple[tuple[str, ...], str, str]]:
    """Return the places where two configs differ, with both values, "" for none."""
    places = dict.fromkeys((*before, *after))
    return [
        (place, before.get(place, ""), after.get(place, ""))
        for place in places
        if before.get(place) != after.get(place)
    ]


def _flatten(place: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the values in a value; an entry of a list goes by its name, if it has one."""
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _flatten((*place, _hide_own(key)), part)
    elif isinstance(value, list) and value:
        for number, part in enumerate(value):
            name = part.get("name") if isinstance(part, dict) else None
            yield from _flatten((*place, _hide_own(str(name or number))), part)
    else:
        yield place, _hide_own(json.dumps(value))


def _hide_own(text: str) -> str:
    """Return a text without what each run has for itself."""
    return _OWN.sub("*", text)
