"""Route that goes nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.lookup import find_values, read_kind
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route_tables import read_written_routes

CODE = "MP0116"

#: Protocol of a route -> the keys that say what happens to a request.
_ACTIONS = {
    "http": ("route", "redirect", "directResponse", "delegate"),
    "tcp": ("route",),
    "tls": ("route",),
}


def check(project: Project) -> Iterator[Hit]:
    """Report each route that does not say where its requests go."""
    for route in read_written_routes(project):
        kind, document, value = read_kind(route.document), route.document, route.value
        if kind == "VirtualService":
            actions = _ACTIONS[route.protocol]
            if project.lacks_keys(document, value, *actions):
                yield Hit(value.at, f"{value.path}: there is no {' or '.join(actions)}", "route:")
        elif kind in ("HTTPRoute", "GRPCRoute"):
            is_answered = route.actions.redirect or find_values(value, "filters", "extensionRef")
            if not is_answered and project.lacks_keys(document, value, "backendRefs"):
                message = f"{value.path}: there is no backend: status 500"
                yield Hit(value.at, message, "backendRefs:", Level.WARNING)  # Gateway API takes it
