r"""Regex without a pattern.

The regex is plain text, so it takes exactly this value and nothing else: `exact` says the same, and
says it plainly. If the text was meant to be found inside the value, or at its beginning, it is not.

Why: who writes `regex: /api` mostly expects it to take `/api/v1`, as a search would.

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
            regex: /api
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
        - uri:
            prefix: /api
        route:
        - destination:
            host: reviews-new
      - route:
        - destination:
            host: reviews
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.checks import mp0402_regex_not_whole
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project
from meshproof.lint.model import cookies, regexes
from meshproof.lint.model.string_matches import read_regexes

CODE = "MP0405"
LEVEL = Level.INFO


def check(project: Project) -> Iterator[Hit]:
    """Report each regex that takes one value only (those of which more is said are left out)."""
    elsewhere = {hit.at for hit in mp0402_regex_not_whole.check(project)}
    for one in read_regexes(project):
        value = regexes.find_only_value(one.text)
        if not value or one.part == "rewrite" or one.at in elsewhere:
            continue
        if one.part == "header cookie" and cookies.find_missed_header(one):
            continue
        if one.part == "uri" and not value.startswith("/"):
            continue
        yield Hit(
            one.at,
            f"{one.part}: regex '{one.text}' takes this one value only",
            f"exact: {value}, or a regex with .* where other text may stand",
        )
