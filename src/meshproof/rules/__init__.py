"""One model of routing, read from several dialects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from meshproof.manifest import Document
from meshproof.names import Labels
from meshproof.rules.model import RuleSet

__all__ = ["RuleSet", "read"]


def read(
    documents: Iterable[Document], selectors: Mapping[str, Labels] = MappingProxyType({})
) -> RuleSet:
    """Return the rules in `documents`; see `meshproof.rules.reading.read`."""
    from meshproof.rules import reading  # late: who wants the model alone needs no dialect

    return reading.read(documents, selectors)
