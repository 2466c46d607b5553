"""One model of routing, read from several dialects."""

from __future__ import annotations

from collections.abc import Iterable

from meshproof.errors import BadRules, nearest
from meshproof.manifest import Document
from meshproof.rules import v1, v1alpha2
from meshproof.rules.model import RuleSet

__all__ = ["RuleSet", "read"]

_READERS = (v1, v1alpha2)
_KINDS = (*v1.KINDS, "RouteRule")


def read(documents: Iterable[Document]) -> RuleSet:
    """Return the rules in `documents`, in whatever dialect each is written.

    Raises BadRules with file and line for a document of no known dialect (it is never passed over),
    for one that cannot be read, and when there is no rule at all.
    """
    found = list(documents)
    shares: dict[str, list[Document]] = {reader.__name__: [] for reader in _READERS}
    for document in found:
        reader = next((reader for reader in _READERS if reader.handles(document)), None)
        if reader is None:
            raise BadRules(_unknown(document))
        shares[reader.__name__].append(document)
    rules = RuleSet()
    for reader in _READERS:
        rules = rules + reader.read(shares[reader.__name__])
    if rules.empty:
        raise BadRules("no rules found")
    return rules


def _unknown(document: Document) -> str:
    return (
        f"{document.at}: {document.kind} of {document.api_version} is not a rule that meshproof "
        f"reads{nearest(document.kind, _KINDS)}"
    )
