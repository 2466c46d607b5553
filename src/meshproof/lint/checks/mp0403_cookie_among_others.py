r"""Cookie match that misses the cookie among others.

A browser sends all cookies of a site in one header, parted by a semicolon and a space:
`Cookie: a=b; user=burr` (RFC 6265, section 4.2.1). The match takes the cookie in some of these
places and not in others; each was tried with RE2. The repair takes it first, last, between others
and alone, and no other cookie.

Why: it works in the test, where the cookie is alone, and stops for everyone who has a second one.
`^(.*?;)?(user=burr)(;.*)?$`, which many copied from Istio's old examples, misses the space; `exact`
takes the cookie only when it is alone.

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
            cookie:
              regex: ^(.*?;)?(user=burr)(;.*)?$
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
            cookie:
              regex: ^(.*?;\s*)?user=burr(;.*)?$
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
from meshproof.lint.model import cookies
from meshproof.lint.model.string_matches import read_string_matches

CODE = "MP0403"
LEVEL = Level.WARNING


def check(project: Project) -> Iterator[Hit]:
    """Report each cookie match that takes its cookie in some places and not in others."""
    for one in read_string_matches(project):
        if one.part != "header cookie":
            continue
        missed = cookies.find_missed_header(one)
        if missed:
            header, wanted = missed
            yield Hit(
                one.at,
                f"cookie: {one.match_type} '{one.text}' does not match 'Cookie: {header}'",
                cookies.build_cookie_regex(wanted, one.match_type),
            )
