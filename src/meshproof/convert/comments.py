"""Finds the comments of YAML files and carries each to what says the same in the output.

A comment in the line of a value belongs to that value; one in a line of its own to what comes next
in its document, at the end of a document to the document. It is carried to the node that says that
value, or the nearest value above it: there always is one, so that none is lost.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import yaml

from meshproof.convert.nodes import Node
from meshproof.documents.manifest import Document, Value

Place = tuple[int, int]


@dataclass(frozen=True)
class Comment:
    """A comment: where it begins (line and column, from 1), what it says, whether it is alone."""

    place: Place
    text: str
    alone: bool


@dataclass(frozen=True)
class _Entry:
    """A key or a list's entry: where it begins, and its value below all values above it.

    A comment further to the right than `column`, before it, belongs to what stands before.
    """

    place: Place
    chain: tuple[Value, ...]
    column: int


def carry(objects: Iterable[Node], converted: Iterable[Document], texts: Mapping[str, str]) -> None:
    """Put the comments of `converted` documents into the objects that were made of them.

    `texts` are the files by name. A document that is not converted keeps its comments to itself.
    """
    said: dict[int, Node] = {}
    for node in (one for tree in objects for one in tree.nodes()):
        for value in node.origins:
            said.setdefault(id(value), node)
    files: dict[str, list[Document]] = {}
    for document in converted:
        files.setdefault(document.at.file, []).append(document)
    for file, documents in files.items():
        for comment, chain in _owned(texts.get(file, ""), documents):
            owner = next((said[id(one)] for one in chain if id(one) in said), None)
            if owner is not None:
                _put(owner, comment, exact=id(chain[0]) in said)


def _put(node: Node, comment: Comment, exact: bool) -> None:
    if comment.alone or not exact or node.beside:
        node.above.append(comment.text)
    else:
        node.beside = comment.text


def _owned(text: str, documents: list[Document]) -> Iterator[tuple[Comment, tuple[Value, ...]]]:
    """Yield each comment of the documents with what it belongs to, the innermost value first."""
    comments, parts = _scan(text)
    entries = sorted(
        (entry for document in documents for entry in _entries(document)),
        key=lambda entry: entry.place,
    )
    places = [entry.place for entry in entries]
    for comment in comments:
        index = bisect.bisect_left(places, comment.place)
        start, end = _part(comment.place, parts)
        near = (entries[index] if index < len(entries) else None), entries[index - 1]
        after, before = (
            one if one is not None and start <= one.place < end else None for one in near
        )
        chain = _chain(comment, before if index else None, after)
        if chain:
            yield comment, chain


def _chain(comment: Comment, before: _Entry | None, after: _Entry | None) -> tuple[Value, ...]:
    """Return what a comment between two entries belongs to, the innermost value first."""
    if after is not None and (before is None or not comment.alone):
        return before.chain if before is not None else after.chain
    if before is None:
        return ()
    if not comment.alone:
        return before.chain
    if after is None:
        return before.chain[-1:]
    inside = before.chain[0] in after.chain
    closes = comment.place[1] > after.column and not inside and len(before.chain) > 1
    return before.chain[1:] if closes else after.chain


def _part(place: Place, parts: list[tuple[Place, bool]]) -> tuple[Place, Place]:
    """Return from where to where the document reaches that a comment belongs to.

    A part that holds comments only belongs to the document after it.
    """
    starts = [one for one, _ in parts]
    index = max(0, bisect.bisect_right(starts, place) - 1)
    last = index
    while last + 1 < len(parts) and not parts[last][1]:
        last += 1
    end = parts[last + 1][0] if last + 1 < len(parts) else (1 << 60, 0)
    return starts[index], end


def _entries(document: Document) -> Iterator[_Entry]:
    """Yield every key and every list's entry of a document, the outermost first."""
    root = document.root
    yield _Entry((root.at.line, root.at.column), (root,), root.at.column)
    pending: list[tuple[Value, tuple[Value, ...]]] = [(root, (root,))]
    while pending:
        value, chain = pending.pop()
        if len(chain) > 100:
            continue
        if isinstance(value.content, dict):
            inner = [(value.keys.get(key, one.at), one) for key, one in value.content.items()]
        elif isinstance(value.content, list):
            inner = [(one.at, one) for one in value.content]
        else:
            continue
        dash = 1 if isinstance(value.content, list) else 0
        for at, one in inner:
            yield _Entry((at.line, at.column), (one, *chain), at.column - dash)
            pending.append((one, (one, *chain)))


def _scan(text: str) -> tuple[list[Comment], list[tuple[Place, bool]]]:
    """Return the comments of a text; where its documents begin, and whether each holds a value.

    A comment stands between two tokens; the first line of a block scalar may have one, too.
    """
    gaps: list[tuple[int, int]] = []
    parts: list[tuple[Place, bool]] = [((1, 1), False)]
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
    lines = [0, *(found.end() for found in re.finditer("\n", text))]
    return [one for start, end in gaps for one in _between(text, start, end, lines)], parts


def _between(text: str, start: int, end: int, lines: list[int]) -> Iterator[Comment]:
    """Yield the comments of a stretch of text without values; `lines` are where lines begin."""
    position = start
    while (sign := text.find("#", position, end)) >= 0:
        line_end = text.find("\n", sign)
        line_end = len(text) if line_end < 0 else line_end
        number = bisect.bisect_right(lines, sign)
        before = text[lines[number - 1] : sign]
        if not before or before[-1] in " \t":
            said = text[sign + 1 : line_end].rstrip().removeprefix(" ")
            yield Comment((number, len(before) + 1), said, not before.strip(" \t-?"))
        position = line_end
