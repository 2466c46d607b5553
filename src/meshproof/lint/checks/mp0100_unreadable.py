"""Document that cannot be read.

What stands here is no YAML, or no YAML that describes objects: a tab in the indentation, a bracket
that is not closed, a key that stands twice, a file that is not text. The other documents of the
file are still checked.

Why: `kubectl apply` refuses the file as a whole, and a pipeline that goes on after that leaves the
rules of yesterday in the mesh. Of a key that stands twice, most readers take the last one silently.

Bad::

    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts: [reviews
      http:
      - route:
        - destination:
            host: reviews

Good::

    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts: [reviews]
      http:
      - route:
        - destination:
            host: reviews
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from meshproof.base.errors import BadRules
from meshproof.documents.manifest import At
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project

CODE = "MP0100"
LEVEL = Level.ERROR

_PLACE = re.compile(r"(?P<file>.+?):(?P<line>\d+)(?::(?P<column>\d+))?: (?P<said>.+)", re.S)


def check(project: Project) -> Iterable[Hit]:
    """Report what the reader of the files could not read."""
    return project.unreadable


def hit(error: BadRules, file: str) -> Hit:
    """Return the hit for an error that the strict reader raised on a part of `file`."""
    found = _PLACE.fullmatch(str(error))
    if found is None:
        return Hit(At(file, 1), str(error).removeprefix(f"{file}: "))
    place = At(found["file"], int(found["line"]), int(found["column"] or 1))
    return Hit(place, found["said"])
