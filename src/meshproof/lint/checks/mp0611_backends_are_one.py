"""Two backends that are one service."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import Route
from meshproof.lint.model.route_tables import gets_requests, read_route_tables
from meshproof.rules.written import WrittenDestination

CODE = "MP0611"

_DIALECTS = ("HTTPRoute", "GRPCRoute")


def check(project: Project) -> Iterator[Hit]:
    """Report each backend of a Gateway API rule whose Service and port an earlier one has."""
    for table in read_route_tables(project):
        for route in table.routes if table.dialect in _DIALECTS else ():
            yield from _check_route(route)


def _check_route(route: Route) -> Iterator[Hit]:
    """Report the backends of a route that are an earlier one."""
    first_backends: dict[tuple[str, object], WrittenDestination] = {}
    for backend in route.destinations:
        if not gets_requests(route, backend):
            continue
        port = backend.port.content if backend.port is not None else None
        first = first_backends.setdefault((backend.host, port), backend)
        if first is not backend:
            yield Hit(
                backend.at,
                f"{route.name} splits between {backend.source_text} (line {first.at.line}) and "
                "itself: nobody sees the split",
                "a Service for each version",
            )
