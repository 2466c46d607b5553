"""What the tests of refused rules have in common."""

from __future__ import annotations

import pytest

from meshproof import rules
from meshproof.base.errors import BadRules
from meshproof.documents import manifest


def refused(text: str, file: str = "r.yaml") -> str:
    """Return what is said of rules in YAML that cannot be read; `file` is their name in it."""
    with pytest.raises(BadRules) as error:
        rules.read_rules(manifest.parse(text, file))
    return str(error.value)
