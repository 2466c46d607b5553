"""The output tree: values that remember the values of the source they were made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from meshproof.documents.manifest import Scalar, Value


@dataclass
class Node:
    """A value of the output.

    `origins` are the values of the source that it was made from: their comments go with it.
    `comments_above` are lines of comment before it, `line_comment` is the comment on its own line.
    """

    content: dict[str, Node] | list[Node] | Scalar
    origins: tuple[Value, ...] = ()
    comments_above: list[str] = field(default_factory=list)
    line_comment: str = ""

    @property
    def is_composed(self) -> bool:
        """True for a mapping or list with entries, which takes several lines."""
        return isinstance(self.content, (dict, list)) and bool(self.content)

    def put(self, key: str, node: Node | None) -> None:
        """Add an entry to this mapping; nothing if `node` is None or this is no mapping."""
        if node is not None and isinstance(self.content, dict):
            self.content[key] = node

    def to_python(self) -> Any:
        """Return the tree as ordinary Python values."""
        if isinstance(self.content, dict):
            return {key: child.to_python() for key, child in self.content.items()}
        if isinstance(self.content, list):
            return [child.to_python() for child in self.content]
        return self.content

    def list_nodes(self) -> list[Node]:
        """Return this node and all nodes below it, from the top."""
        nodes = [self]
        if isinstance(self.content, dict):
            nodes += [
                descendant for child in self.content.values() for descendant in child.list_nodes()
            ]
        elif isinstance(self.content, list):
            nodes += [descendant for child in self.content for descendant in child.list_nodes()]
        return nodes


def make_scalar(content: Scalar, *origins: Value) -> Node:
    """Return the node of a text, number or truth value that was made from `origins`."""
    return Node(content, origins)


def copy_value(value: Value) -> Node:
    """Return a node with the whole content of a value of the source."""
    content = value.content
    if isinstance(content, dict):
        entries = {
            key: copy_value(child) for key, child in content.items() if child.content is not None
        }
        return Node(entries, (value,))
    if isinstance(content, list):
        return Node([copy_value(child) for child in content], (value,))
    return Node(content, (value,))


def make_mapping(*origins: Value, **entries: Node | None) -> Node:
    """Return a mapping of the entries that are not None."""
    return Node({key: node for key, node in entries.items() if node is not None}, origins)


def make_list(*entries: Node) -> Node:
    """Return a list of nodes."""
    return Node(list(entries))


def list_holders(top: Value, value: Value) -> list[Value]:
    """Return a value and the mappings that hold it below `top`, the innermost first."""
    for child in top.content.values() if isinstance(top.content, dict) else ():
        if child is value:
            return [value]
        if value.path.startswith(f"{child.path}."):
            return [*list_holders(child, value), child]
    return []
