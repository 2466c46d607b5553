"""Finds the comments of YAML files and carries each to the matching place of the output.

A comment after a value belongs to that value. A comment on its own line belongs to the next value
of its document, at the end of a document to the document. It is carried to the node made from that
value, or from the nearest value that contains it: there always is one, so no comment is lost.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import yaml

from meshproof.convert.nodes import Node
from meshproof.documents.manifest import Document, Value

Position = tuple[int, int]


@dataclass(frozen=True)
class Comment:
    """A comment with its position (line and column, from 1); `is_alone` on a line of its own."""

    position: Position
    text: str
    is_alone: bool


@dataclass(frozen=True)
class _Entry:
    """A key or a list entry with its position, and its value followed by all that contain it.

    A comment before it that is further right than `column` belongs to the entry before.
    """

    position: Position
    chain: tuple[Value, ...]
    column: int


def carry_comments(
    objects: Iterable[Node], converted: Iterable[Document], texts: Mapping[str, str]
) -> None:
    """Put the comments of `converted` documents into the objects that were made of them.

    `texts` are the files by name. Comments of documents that are not converted stay behind.
    """
    node_of_value: dict[int, Node] = {}
    for node in (node for tree in objects for node in tree.list_nodes()):
        for value in node.origins:
            node_of_value.setdefault(id(value), node)
    files: dict[str, list[Document]] = {}
    for document in converted:
        files.setdefault(document.at.file, []).append(document)
    for file, documents in files.items():
        for comment, chain in _find_owners(texts.get(file, ""), documents):
            owner = next(
                (node_of_value[id(value)] for value in chain if id(value) in node_of_value), None
            )
            if owner is not None:
                _put_comment(owner, comment, is_exact=id(chain[0]) in node_of_value)


def _put_comment(node: Node, comment: Comment, is_exact: bool) -> None:
    """Add a comment to a node, in its line if it belongs to exactly this value."""
    if comment.is_alone or not is_exact or node.line_comment:
        node.comments_above.append(comment.text)
    else:
        node.line_comment = comment.text


def _find_owners(
    text: str, documents: list[Document]
) -> Iterator[tuple[Comment, tuple[Value, ...]]]:
    """Yield each comment with the values that it belongs to, the innermost first."""
    comments, parts = _scan_comments(text)
    entries = sorted(
        (entry for document in documents for entry in _iter_entries(document)),
        key=lambda entry: entry.position,
    )
    positions = [entry.position for entry in entries]
    for comment in comments:
        index = bisect.bisect_left(positions, comment.position)
        start, end = _find_document_range(comment.position, parts)
        neighbours = (entries[index] if index < len(entries) else None), entries[index - 1]
        after, before = (
            entry if entry is not None and start <= entry.position < end else None
            for entry in neighbours
        )
        chain = _choose_chain(comment, before if index else None, after)
        if chain:
            yield comment, chain


def _choose_chain(
    comment: Comment, before: _Entry | None, after: _Entry | None
) -> tuple[Value, ...]:
    """Return the values that a comment between two entries belongs to, the innermost first."""
    if after is not None and (before is None or not comment.is_alone):
        return before.chain if before is not None else after.chain
    if before is None:
        return ()
    if not comment.is_alone:
        return before.chain
    if after is None:
        return before.chain[-1:]
    is_inside = before.chain[0] in after.chain
    is_after_end = comment.position[1] > after.column and not is_inside and len(before.chain) > 1
    return before.chain[1:] if is_after_end else after.chain


def _find_document_range(
    position: Position, parts: list[tuple[Position, bool]]
) -> tuple[Position, Position]:
    """Return start and end of the document that a position belongs to.

    A part without values, only comments, belongs to the document after it.
    """
    starts = [start for start, _ in parts]
    index = max(0, bisect.bisect_right(starts, position) - 1)
    last = index
    while last + 1 < len(parts) and not parts[last][1]:
        last += 1
    end = parts[last + 1][0] if last + 1 < len(parts) else (1 << 60, 0)
    return starts[index], end


def _iter_entries(document: Document) -> Iterator[_Entry]:
    """Yield every key and list entry of a document, the outermost first."""
    root = document.root
    yield _Entry((root.at.line, root.at.column), (root,), root.at.column)
    pending: list[tuple[Value, tuple[Value, ...]]] = [(root, (root,))]
    while pending:
        value, chain = pending.pop()
        if len(chain) > 100:
            continue
        if isinstance(value.content, dict):
            children = [
                (value.keys.get(key, child.at), child) for key, child in value.content.items()
            ]
        elif isinstance(value.content, list):
            children = [(child.at, child) for child in value.content]
        else:
            continue
        dash = 1 if isinstance(value.content, list) else 0
        for at, child in children:
            yield _Entry((at.line, at.column), (child, *chain), at.column - dash)
            pending.append((child, (child, *chain)))


def _scan_comments(text: str) -> tuple[list[Comment], list[tuple[Position, bool]]]:
    """Return the comments of a text, and where its documents begin and whether each has a value.

    A comment stands between two tokens, or on the first line of a block scalar.
    """
    gaps: list[tuple[int, int]] = []
    parts: list[tuple[Position, bool]] = [((1, 1), False)]
    end = 0
    for token in yaml.scan(text, Loader=yaml.CSafeLoader):
        start = token.start_mark.index
        gaps.append((end, start))
        if isinstance(token, (yaml.DocumentStartToken, yaml.DocumentEndToken)):
            parts.append(((token.start_mark.line + 1, 1), False))
        elif isinstance(token, (yaml.ScalarToken, yaml.AliasToken, yaml.FlowMappingStartToken)):
            parts[-1] = (parts[-1][0], True)
        end = max(end, token.end_mark.index)
        if isinstance(token, yaml.ScalarToken) and token.style in ("|", ">"):
            line_end = text.find("\n", start, end)
            gaps.append((start, line_end if line_end >= 0 else end))
    gaps.append((end, len(text)))
    lines = [0, *(match.end() for match in re.finditer("\n", text))]
    return [
        comment for start, end in gaps for comment in _iter_comments(text, start, end, lines)
    ], parts


def _iter_comments(text: str, start: int, end: int, lines: list[int]) -> Iterator[Comment]:
    """Yield the comments between two offsets without values; `lines` are where lines begin."""
    position = start
    while (hash_at := text.find("#", position, end)) >= 0:
        line_end = text.find("\n", hash_at)
        line_end = len(text) if line_end < 0 else line_end
        number = bisect.bisect_right(lines, hash_at)
        before = text[lines[number - 1] : hash_at]
        if not before or before[-1] in " \t":
            comment = text[hash_at + 1 : line_end].rstrip().removeprefix(" ")
            yield Comment((number, len(before) + 1), comment, not before.strip(" \t-?"))
        position = line_end
