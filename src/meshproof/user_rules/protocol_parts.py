"""Takes routes of TLS and TCP from a VirtualService, so that its routes of HTTP are checked.

istiod makes them apart: http becomes a route configuration, tls and tcp filter chains of listeners
(route.go; networking/core/tls.go). One changes nothing of the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from meshproof.base.errors import BadRules, Unsupported
from meshproof.documents.manifest import Document

#: The paths of the routes of other protocols.
_PATHS = ("spec.tls", "spec.tcp")


def keep_http_routes(document: Document, errors: Iterable[BadRules]) -> Document | None:
    """Return a VirtualService without the routes of other protocols that errors say.

    None if something else is wrong with it, or it has no routes of HTTP.
    """
    error_list = list(errors)
    if not all(isinstance(error, Unsupported) and error.path in _PATHS for error in error_list):
        return None
    left_out = {error.path.removeprefix("spec.") for error in error_list}
    spec = document.spec
    if not spec.entries("http"):
        return None
    content = {key: value for key, value in spec.mapping().items() if key not in left_out}
    root = replace(
        document.root,
        content={**document.root.mapping(), "spec": replace(spec, content=content)},
    )
    return replace(document, root=root)
