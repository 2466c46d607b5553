"""Route that goes nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.lookup import find_values, read_spec
from meshproof.documents.manifest import Value
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project

CODE = "MP0116"

#: Key of the routes -> the keys that say what happens to a request.
_ACTIONS = {
    "http": ("route", "redirect", "directResponse", "delegate"),
    "tcp": ("route",),
    "tls": ("route",),
}
_ANSWERING_FILTERS = ("requestRedirect", "extensionRef")


def check(project: Project) -> Iterator[Hit]:
    """Report each route that does not say where its requests go."""
    for document in project.documents_of_kind("VirtualService"):
        for key, actions in _ACTIONS.items():
            for route in find_values(read_spec(document), key):
                if project.lacks_keys(document, route, *actions):
                    expected = " or ".join(actions)
                    yield Hit(route.at, f"{route.path}: there is no {expected}", "route:")
    for document in project.documents_of_kind("HTTPRoute", "GRPCRoute"):
        for rule in find_values(read_spec(document), "rules"):
            has_action = _has_answering_filter(rule)
            if not has_action and project.lacks_keys(document, rule, "backendRefs"):
                message = f"{rule.path}: there is no backend: status 500"
                yield Hit(rule.at, message, "backendRefs:", Level.WARNING)  # Gateway API takes it


def _has_answering_filter(rule: Value) -> bool:
    """Say whether a filter answers instead of a backend."""
    filters = find_values(rule, "filters")
    return any(
        isinstance(value.content, dict) and set(_ANSWERING_FILTERS) & set(value.content)
        for value in filters
    )
