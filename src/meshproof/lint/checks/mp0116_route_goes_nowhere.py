"""Route that goes nowhere.

The route says which requests it takes and not what happens to them: there is no `route`,
`redirect`, `directResponse` or `delegate` in it; in a Gateway API rule no `backendRefs` and no
redirect.

Why: Istio's webhook refuses it ("HTTP route, redirect or direct_response is required"). A rule of
Gateway API without backends answers 500 to all it takes. (A RouteRule without `route` was allowed:
it sent its requests to every version.)

Bad::

    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - reviews
      http:
      - match:
        - uri:
            prefix: /old
      - route:
        - destination:
            host: reviews

Good::

    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - reviews
      http:
      - match:
        - uri:
            prefix: /old
        redirect:
          uri: /new
      - route:
        - destination:
            host: reviews
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.manifest import Value
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project, find_values, read_spec

CODE = "MP0116"
LEVEL = Level.ERROR

_ENDS = {
    "http": ("route", "redirect", "directResponse", "delegate"),
    "tcp": ("route",),
    "tls": ("route",),
}
_ANSWERING = ("requestRedirect", "extensionRef")


def check(project: Project) -> Iterator[Hit]:
    """Report each route that does not say where its requests go."""
    for document in project.documents_of_kind("VirtualService"):
        for key, ends in _ENDS.items():
            for route in find_values(read_spec(document), key):
                if project.lacks_keys(document, route, *ends):
                    yield Hit(route.at, f"{route.path}: there is no {' or '.join(ends)}", "route:")
    for document in project.documents_of_kind("HTTPRoute", "GRPCRoute"):
        for rule in find_values(read_spec(document), "rules"):
            if project.lacks_keys(document, rule, "backendRefs") and not _answers(rule):
                yield Hit(rule.at, f"{rule.path}: there is no backend: status 500", "backendRefs:")


def _answers(rule: Value) -> bool:
    """Say whether a filter answers instead of a backend."""
    filters = find_values(rule, "filters")
    return any(
        isinstance(one.content, dict) and set(_ANSWERING) & set(one.content) for one in filters
    )
