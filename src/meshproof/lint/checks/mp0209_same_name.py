"""Two objects of one name.

Two documents are of one kind and have the same namespace and name.

Why: they are one object to the cluster. What is applied last replaces the other, without a word:
of two rules named `reviews-default` one is served. Which one depends on the order of the files.

Bad::

    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata:
      name: reviews
    spec:
      host: reviews
    ---
    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata:
      name: reviews
    spec:
      host: ratings

Good::

    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata:
      name: reviews
    spec:
      host: reviews
    ---
    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata:
      name: ratings
    spec:
      host: ratings
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.manifest import Document
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project, read_api_group, read_kind

CODE = "MP0209"
LEVEL = Level.ERROR


def check(project: Project) -> Iterator[Hit]:
    """Report each object that replaces an earlier one."""
    seen: dict[tuple[str, ...], Document] = {}
    for document in project.named_documents(*{read_kind(one) for one in project.documents} - {""}):
        group = read_api_group(document)
        first = seen.setdefault((group, document.kind, document.namespace, document.name), document)
        if first is not document:
            yield Hit(
                document.metadata.need("name").at,
                f"this {document.kind} '{document.name}' replaces the one at {first.at}",
                "another name, or one object for both",
            )
