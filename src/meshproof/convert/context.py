"""What the converters of all kinds share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshproof.base.names import Labels
from meshproof.convert.destination_rules import DestinationRules
from meshproof.convert.notes import Notes


@dataclass
class Context:
    """DestinationRules, notes, selectors of Services by host; `old_defaults` writes them out."""

    destination_rules: DestinationRules = field(default_factory=DestinationRules)
    notes: Notes = field(default_factory=Notes)
    selectors: Mapping[str, Labels] = field(default_factory=dict)
    old_defaults: bool = False
