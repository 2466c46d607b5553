"""Deep nesting is refused; PyYAML's composer would end the whole process with it (SIGSEGV)."""

from __future__ import annotations

import pytest

from meshproof.base.errors import BadRules
from meshproof.documents.manifest import parse

DEEP = {
    "lists": "[" * 200_000,
    "mappings": "{a: " * 200_000,
    "blocks": "- " * 200_000 + "x",
    "keys": "? " * 200_000 + "x",
    "steps": "".join(f"{' ' * level}a:\n" for level in range(1000)),
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_refused_where_it_gets_too_deep(text: str) -> None:
    with pytest.raises(BadRules, match=r"^f\.yaml:\d+:\d+: nested more than 100 levels deep$"):
        parse(text, "f.yaml")


def test_a_hundred_levels_are_read() -> None:
    (document,) = parse("{a: " * 100 + "1" + "}" * 100, "f.yaml")
    assert str(document.root.to_python()).count("a") == 100
