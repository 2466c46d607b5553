"""Writes trees as YAML: block style, keys in the order in which they were put, comments in place.

A text stands without quotes only where every YAML reader (1.1 and 1.2, Go's and Python's) takes it
as that text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from meshproof.convert.nodes import Node
from meshproof.documents.manifest import Scalar

_PLAIN = re.compile(r"/?[A-Za-z][\w./-]*|\d+(?:\.\d+)?(?:ms|s|m|h)|/", re.A)
#: Texts that some YAML reader takes as a truth value or as nothing (YAML 1.1, type repository).
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}
_PRINTABLE = re.compile(r"[\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd]*")
#: What a text in double quotes must escape: all that is not printable ASCII.
_ESCAPED = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")


def written(objects: Iterable[Node]) -> str:
    """Return objects as a stream of YAML documents that ends with a newline."""
    return "---\n".join("".join(f"{line}\n" for line in lines(one)) for one in objects)


def lines(node: Node) -> Iterator[str]:
    """Yield the lines of an object, its comments above it."""
    yield from (f"# {text}".rstrip() for text in node.above)
    yield from _inner(node, "")


def _inner(node: Node, indent: str) -> Iterator[str]:
    """Yield the lines of what stands in a mapping or a list."""
    if isinstance(node.content, dict) and node.content:
        for key, one in node.content.items():
            yield from _above(one, indent)
            yield from _entry(f"{indent}{text(key)}:", one, indent)
    elif isinstance(node.content, list) and node.content:
        for one in node.content:
            yield from _above(one, indent)
            yield from _item(one, indent)
    else:
        yield f"{indent}{_leaf(node)}"


def _entry(head: str, one: Node, indent: str) -> Iterator[str]:
    if not one.is_composed:
        yield f"{head} {_leaf(one)}"
        return
    yield head + (f" # {one.beside}" if one.beside else "")
    yield from _inner(one, indent if isinstance(one.content, list) else f"{indent}  ")


def _item(one: Node, indent: str) -> Iterator[str]:
    """Yield an entry of a list: its first line that is no comment has the dash."""
    if not one.is_composed:
        yield f"{indent}- {_leaf(one)}"
        return
    if one.beside:
        yield f"{indent}# {one.beside}"
    dash = f"{indent}- "
    for line in _inner(one, f"{indent}  "):
        if dash and line.lstrip().startswith("#"):
            yield f"{indent}{line.lstrip()}"
            continue
        yield dash + line[len(indent) + 2 :] if dash else line
        dash = ""


def _above(one: Node, indent: str) -> Iterator[str]:
    yield from (f"{indent}# {line}".rstrip() for line in one.above)


def _leaf(node: Node) -> str:
    content = node.content
    shown = {dict: "{}", list: "[]"}.get(type(content)) or _scalar(content)  # type: ignore[arg-type]
    return f"{shown} # {node.beside}" if node.beside else shown


def _scalar(content: Scalar) -> str:
    if isinstance(content, str):
        return text(content)
    shown = json.dumps(content)
    if isinstance(content, float) and "." not in shown:
        shown = shown.replace("e", ".0e")  # YAML 1.1 knows no exponent without a point
    return shown


def text(content: str) -> str:
    """Return a text as YAML, in quotes where it needs them."""
    if _PLAIN.fullmatch(content) and content.lower() not in _WORDS:
        return content
    if _PRINTABLE.fullmatch(content):
        return "'" + content.replace("'", "''") + "'"
    return f'"{_ESCAPED.sub(_escape, content)}"'


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
