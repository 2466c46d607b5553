"""Writes trees as YAML: block style, keys in their order, comments in place.

A text is written without quotes only if every YAML reader (1.1 and 1.2, Go's and Python's) reads it
as that text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from meshproof.convert.nodes import Node
from meshproof.documents.manifest import Scalar

_PLAIN_TEXT = re.compile(r"/?[A-Za-z][\w./-]*|\d+(?:\.\d+)?(?:ms|s|m|h)|/", re.A)
#: Texts that some YAML reader reads as a truth value, null or a number (YAML 1.1, type repository).
_AMBIGUOUS_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}
_PRINTABLE = re.compile(r"[\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd]*")
#: What a text in double quotes must escape: all that is not printable ASCII.
_ESCAPED = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")


def write_documents(objects: Iterable[Node]) -> str:
    """Return objects as a stream of YAML documents that ends with a newline."""
    return "---\n".join("".join(f"{line}\n" for line in iter_lines(node)) for node in objects)


def iter_lines(node: Node) -> Iterator[str]:
    """Yield the lines of an object, its comments above it."""
    yield from (f"# {text}".rstrip() for text in node.comments_above)
    yield from _iter_block_lines(node, "")


def _iter_block_lines(node: Node, indent: str) -> Iterator[str]:
    """Yield the lines of a mapping, list or scalar at an indent."""
    if isinstance(node.content, dict) and node.content:
        for key, child in node.content.items():
            yield from _iter_comment_lines(child, indent)
            yield from _iter_entry_lines(f"{indent}{format_text(key)}:", child, indent)
    elif isinstance(node.content, list) and node.content:
        for child in node.content:
            yield from _iter_comment_lines(child, indent)
            yield from _iter_item_lines(child, indent)
    else:
        yield f"{indent}{_format_leaf(node)}"


def _iter_entry_lines(head: str, node: Node, indent: str) -> Iterator[str]:
    """Yield the lines of an entry of a mapping; `head` is its key with the colon."""
    if not node.is_composed:
        yield f"{head} {_format_leaf(node)}"
        return
    yield head + (f" # {node.line_comment}" if node.line_comment else "")
    yield from _iter_block_lines(node, indent if isinstance(node.content, list) else f"{indent}  ")


def _iter_item_lines(node: Node, indent: str) -> Iterator[str]:
    """Yield the lines of a list item: its first line that is no comment has the dash."""
    if not node.is_composed:
        yield f"{indent}- {_format_leaf(node)}"
        return
    if node.line_comment:
        yield f"{indent}# {node.line_comment}"
    dash = f"{indent}- "
    for line in _iter_block_lines(node, f"{indent}  "):
        if dash and line.lstrip().startswith("#"):
            yield f"{indent}{line.lstrip()}"
            continue
        yield dash + line[len(indent) + 2 :] if dash else line
        dash = ""


def _iter_comment_lines(node: Node, indent: str) -> Iterator[str]:
    """Yield the comments above a node."""
    yield from (f"{indent}# {line}".rstrip() for line in node.comments_above)


def _format_leaf(node: Node) -> str:
    """Return a scalar or an empty collection, with its comment."""
    content = node.content
    text_of_content = {dict: "{}", list: "[]"}.get(type(content)) or _format_scalar(content)  # type: ignore[arg-type]
    return f"{text_of_content} # {node.line_comment}" if node.line_comment else text_of_content


def _format_scalar(content: Scalar) -> str:
    """Return a scalar as YAML."""
    if isinstance(content, str):
        return format_text(content)
    number = json.dumps(content)
    if isinstance(content, float) and "." not in number:
        number = number.replace("e", ".0e")  # YAML 1.1 knows no exponent without a point
    return number


def format_text(content: str) -> str:
    """Return a text as YAML, in quotes where it needs them."""
    if _PLAIN_TEXT.fullmatch(content) and content.lower() not in _AMBIGUOUS_WORDS:
        return content
    if _PRINTABLE.fullmatch(content):
        return "'" + content.replace("'", "''") + "'"
    return f'"{_ESCAPED.sub(_escape_character, content)}"'


def _escape_character(match: re.Match[str]) -> str:
    """Return the escape sequence of a character for double quotes."""
    code = ord(match[0])
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
