"""Option of meshproof that does not hold.

Annotations `meshproof/tolerance`, `leak`, `beta`, `budget`, `present`, `look-every` and
`unnamed-budget` say how strictly `meshproof test` judges what follows from their rule. This one has
another name, a value that is out of its range or no text, or stands in an object that sends no
request anywhere.

Why: `meshproof test` refuses it, and the API server refuses a value that is no text. Passed over,
it would leave a rule with a tolerance that nobody chose.

Bad::

    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
      annotations:
        meshproof/tolerence: "0.05"
    spec:
      hosts:
      - reviews
      http:
      - route:
        - destination:
            host: reviews

Good::

    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
      annotations:
        meshproof/tolerance: "0.05"
    spec:
      hosts:
      - reviews
      http:
      - route:
        - destination:
            host: reviews
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.defect import DefectKind
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project, find_values, read_kind
from meshproof.rules import judge_options

CODE = "MP0701"
LEVEL = Level.ERROR


def check(project: Project) -> Iterator[Hit]:
    """Report each annotation that is meant for meshproof and cannot hold."""
    for document in project.documents:
        no_text = {one.at for one in project.find_defects(DefectKind.WRONG_TYPE, document)}
        for noted in find_values(document.root, "metadata", "annotations"):
            if isinstance(noted.content, dict):
                for at, said, repair in judge_options.wrong(noted, read_kind(document)):
                    if at not in no_text:  # it has a finding already
                        yield Hit(at, said, repair)
