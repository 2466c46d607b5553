"""A pytest plugin that gives istiod other weights than the rules have: `-p ...doctored_rules`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from meshproof.mesh.istiod import objects, rule_mesh


def swap_first_weights(body: dict[str, Any]) -> None:
    """Swap the weights of the first split in a VirtualService."""
    for route in body["spec"].get("http", ()):
        targets = route.get("route", ())
        if len(targets) > 1:
            weights = [target["weight"] for target in targets]
            for target, weight in zip(targets, reversed(weights), strict=True):
                target["weight"] = weight
            return


@pytest.fixture(autouse=True, scope="session")
def _doctored() -> Iterator[None]:
    read = objects.read_rules

    def read_wrongly(*arguments: Any) -> list[objects.Placed]:
        placed_objects = read(*arguments)
        for placed in placed_objects:
            if placed.body["kind"] == "VirtualService":
                swap_first_weights(placed.body)
        return placed_objects

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rule_mesh, "read_rules", read_wrongly)
        yield
