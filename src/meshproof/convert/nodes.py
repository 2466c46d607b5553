"""What is written: a tree of values that know which values of the source they say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from meshproof.documents.manifest import Scalar, Value


@dataclass
class Node:
    """A value to be written.

    `origins` are the values of the source that it says: their comments go with it. `above` are
    lines of comment before it, `beside` is the comment in its line.
    """

    content: dict[str, Node] | list[Node] | Scalar
    origins: tuple[Value, ...] = ()
    above: list[str] = field(default_factory=list)
    beside: str = ""

    @property
    def is_composed(self) -> bool:
        """True for a mapping or list that has entries, and so lines of its own."""
        return isinstance(self.content, (dict, list)) and bool(self.content)

    def put(self, key: str, node: Node | None) -> None:
        """Add an entry to a mapping; None adds nothing."""
        if node is not None and isinstance(self.content, dict):
            self.content[key] = node

    def plain(self) -> Any:
        """Return the tree as ordinary Python values."""
        if isinstance(self.content, dict):
            return {key: one.plain() for key, one in self.content.items()}
        if isinstance(self.content, list):
            return [one.plain() for one in self.content]
        return self.content

    def nodes(self) -> list[Node]:
        """Return this node and all below it, from the top."""
        found = [self]
        if isinstance(self.content, dict):
            found += [one for below in self.content.values() for one in below.nodes()]
        elif isinstance(self.content, list):
            found += [one for below in self.content for one in below.nodes()]
        return found


def scalar(content: Scalar, *origins: Value) -> Node:
    """Return the node of a text, number or truth value that says `origins`."""
    return Node(content, origins)


def copied(value: Value) -> Node:
    """Return the node that says the same as a value of the source, all of it."""
    content = value.content
    if isinstance(content, dict):
        entries = {key: copied(one) for key, one in content.items() if one.content is not None}
        return Node(entries, (value,))
    if isinstance(content, list):
        return Node([copied(one) for one in content], (value,))
    return Node(content, (value,))


def mapping(*origins: Value, **entries: Node | None) -> Node:
    """Return a mapping of those entries that are there."""
    return Node({key: one for key, one in entries.items() if one is not None}, origins)


def listed(*entries: Node) -> Node:
    """Return a list."""
    return Node(list(entries))
