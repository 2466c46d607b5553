"""Wildcard host that takes every service of a namespace."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import CLUSTER_DOMAIN
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0528"


def check(project: Project) -> Iterator[Hit]:
    """Report each wildcard of a rule of sidecars that takes services, and sends to one of them."""
    for table in read_route_tables(project):
        if table.dialect != "VirtualService" or not table.applies_to_mesh:
            continue
        destinations = {
            destination.source_text: destination.host
            for route in table.routes_of("http")
            for destination in route.destinations
        }
        for host in table.hosts:
            pattern = host.source_text
            if not pattern.startswith("*.") or not pattern.endswith(f".{CLUSTER_DOMAIN}"):
                continue
            targets = [
                text
                for text, full in destinations.items()
                if full.endswith(pattern.removeprefix("*"))
            ]
            if targets:
                yield Hit(
                    host.at,
                    f"{pattern} is every service there: requests to each of them go to "
                    f"{', '.join(targets)}",
                    "the host of the one service that is meant",
                )
