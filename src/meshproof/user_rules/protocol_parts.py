"""Takes routes of TLS and TCP from a VirtualService, so that its routes of HTTP are checked.

istiod makes them apart: http becomes a route configuration, tls and tcp filter chains of listeners
(route.go; networking/core/tls.go). One changes nothing of the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from meshproof.base.errors import BadRules, Unsupported
from meshproof.documents.manifest import Document

_PART = re.compile(r"spec\.(tls|tcp) is not supported")


def keep_http_routes(document: Document, errors: Iterable[BadRules]) -> Document | None:
    """Return a VirtualService without the routes of other protocols that errors say.

    None if something else is wrong with it, or it has no routes of HTTP.
    """
    left_out: set[str] = set()
    for error in errors:
        part = _PART.match(error.reason)
        if part is None or not isinstance(error, Unsupported):
            return None
        left_out.add(part[1])
    spec = document.spec
    if not spec.entries("http"):
        return None
    content = {key: value for key, value in spec.mapping().items() if key not in left_out}
    root = replace(
        document.root,
        content={**document.root.mapping(), "spec": replace(spec, content=content)},
    )
    return replace(document, root=root)
