"""Spelling of an earlier version.

The key is a word of an earlier version of this kind, or of the kind that was there before it:
`httpHeaders` and `tags` are Istio 0.1's words for `request.headers` and `labels` of a RouteRule, a
destination was a text, a rule began with `type: route-rule`; `httpReqTimeout` is RouteRule's word
for the `timeout` of a VirtualService.

Why: files that mix both spellings are common, and each version drops or refuses the other's words:
the rule is served without its match. The other checks read the document as if it were rewritten.

Bad::

    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - reviews
      http:
      - httpReqTimeout:
          simpleTimeout:
            timeout: 5s
        route:
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
      - timeout: 5s
        route:
        - destination:
            host: reviews
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.defect import DefectKind
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project

CODE = "MP0205"
LEVEL = Level.ERROR


def check(project: Project) -> Iterator[Hit]:
    """Report each word of an earlier version, with today's."""
    for one in project.find_defects(DefectKind.OLD_SPELLING):
        where = f"{one.path}: " if one.path else ""
        today = f"; today it is {one.expected}" if one.expected else "; today it is a mapping"
        yield Hit(
            one.at, f"{where}'{one.actual}' is the spelling of an earlier version{today}", one.repair
        )
