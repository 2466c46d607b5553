r"""Regex that RE2 rejects.

Envoy compiles regexes with RE2. It has no look-around, no back-references, no possessive
quantifiers, no repetition above 1000; the regex was checked with RE2 itself.

Why: Istio's webhook refuses the rule, or, where it does not look, the proxies refuse their new
configuration as a whole and go on with the routes of before. (Rules of Istio 0.x were compared
with another library, which took more.)

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
        - headers:
            end-user:
              regex: (?!burr).*
        route:
        - destination:
            host: reviews-new
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
        - headers:
            end-user: {}
          withoutHeaders:
            end-user:
              prefix: burr
        route:
        - destination:
            host: reviews-new
      - route:
        - destination:
            host: reviews
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project
from meshproof.lint.model import regexes
from meshproof.lint.model.string_matches import read_regexes

CODE = "MP0401"
LEVEL = Level.ERROR


def check(project: Project) -> Iterator[Hit]:
    """Report each regex that RE2 does not compile."""
    for one in read_regexes(project):
        said = regexes.find_error(one.text)
        if said:
            lacking, repair = regexes.suggest_replacement(one.text)
            named = f"RE2 has no {lacking}" if lacking else said
            yield Hit(one.at, f"{one.part}: regex '{one.text}' is rejected: {named}", repair)
        elif not one.text:
            yield Hit(one.at, f"{one.part}: the regex is empty, which Istio rejects", "{}")
