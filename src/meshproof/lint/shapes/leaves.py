"""Holds single values against the leaves of a shape: texts, numbers, durations, words, names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from meshproof.documents.manifest import Scalar, Value
from meshproof.documents.schema import Shape, closest
from meshproof.lint.engine.defect import Defect, Sort

#: Go's notation, which Kubernetes and Istio read: 1h30m, 5s, 250ms.
_DURATION = re.compile(r"\d+(\.\d+)?(ns|us|µs|ms|s|m|h)(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))*")
_SPELT_OUT = re.compile(r"(\d+(?:\.\d+)?) *(h|m|s|ms)?[a-z]*", re.I)
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
#: So much of a text is shown in a message.
_SHOWN = 60
_PROTOCOLS = (
    "HTTP",
    "HTTPS",
    "HTTP2",
    "HTTP_PROXY",
    "GRPC",
    "GRPC-WEB",
    "MONGO",
    "MYSQL",
    "REDIS",
    "TCP",
    "TLS",
    "UDP",
)


def check(value: Value, shape: Shape) -> list[Defect]:
    """Return what is wrong with a value that has no mapping's or list's place."""
    if isinstance(value.content, (dict, list)) or shape.is_composed:
        return [_wrong_type(value, shape, _bracketed(value, shape))]
    return list(_CHECKS[shape.type](value, value.content, shape))


def mended(value: Value, shape: Shape) -> Value:
    """Return a value of the wrong type as the one that was meant, where that is plain."""
    content = value.content
    if shape.type == "list" and not isinstance(content, list):
        return replace(value, content=[value])
    if shape.type == "mapping":
        return _unbracketed(value, shape)
    if isinstance(content, str) and shape.type in ("integer", "number"):
        digits = _NUMBER.match(content)
        return (
            replace(value, content=float(digits[0]) if "." in digits[0] else int(digits[0]))
            if (digits)
            else value
        )
    if isinstance(content, (bool, int, float)) and shape.type in ("text", "name"):
        return replace(value, content=_written(content))
    return value


def _wrong_type(value: Value, shape: Shape, how: str = "") -> Defect:
    return Defect(Sort.WRONG_TYPE, value.at, value.path, shown(value), shape.name, how)


def _bracketed(value: Value, shape: Shape) -> str:
    """Say how a list or a mapping is written where the other, or a single value, stands."""
    if shape.type == "list" and not isinstance(value.content, list):
        return "write '- ' before it: a list of one"
    if shape.type == "mapping" and isinstance(value.content, list):
        return "without the '- ' before it" if _is_one_mapping(value.content) else ""
    if shape.type == "mapping" and "exact" in shape.keys:
        return f"{{exact: {shown(value)}}}"
    if shape.type == "mapping" and len(shape.keys) == 1 and not isinstance(value.content, list):
        return f"{{{next(iter(shape.keys))}: {shown(value)}}}"
    return ""


def _is_one_mapping(content: list[Value]) -> bool:
    return len(content) == 1 and isinstance(content[0].content, dict)


def _unbracketed(value: Value, shape: Shape) -> Value:
    """Return the mapping that was meant by a list of one mapping, or by a bare text."""
    if isinstance(value.content, list) and _is_one_mapping(value.content):
        return value.content[0]
    if isinstance(value.content, str) and "exact" in shape.keys:
        inner = Value(value.at, f"{value.path}.exact", value.content)
        return replace(value, content={"exact": inner})
    return value


def shown(value: Value) -> str:
    """Return a value as a message shows it."""
    if isinstance(value.content, dict):
        return "a mapping"
    if isinstance(value.content, list):
        return "a list"
    if isinstance(value.content, str):
        cut = "..." if len(value.content) > _SHOWN else ""
        return f'"{value.content[:_SHOWN]}{cut}"'
    return _written(value.content)


def _written(content: Scalar) -> str:
    return str(content).lower() if isinstance(content, bool) else str(content)


def _text(value: Value, content: Scalar, shape: Shape) -> Iterator[Defect]:
    if not isinstance(content, str):
        yield _wrong_type(value, shape, f'in quotes: "{_written(content)}"')


def _boolean(value: Value, content: Scalar, shape: Shape) -> Iterator[Defect]:
    if not isinstance(content, bool):
        word = content.lower() if isinstance(content, str) else ""
        yield _wrong_type(value, shape, word if word in ("true", "false") else "")


def _number(value: Value, content: Scalar, shape: Shape) -> Iterator[Defect]:
    whole = shape.type == "integer"
    if isinstance(content, str):
        digits = _NUMBER.match(content)
        yield _wrong_type(value, shape, f"without quotes: {digits[0]}" if digits else "")
    elif isinstance(content, bool) or not isinstance(content, (int, float)):
        yield _wrong_type(value, shape)
    elif whole and content != int(content):
        yield _wrong_type(value, shape, str(round(content)))
    elif not (shape.least or -1e300) <= content <= (1e300 if shape.most is None else shape.most):
        yield _out(value, f"{shape.name} {_span(shape)}")


def _span(shape: Shape) -> str:
    if shape.most is None:
        return f"of {shape.least:g} or more"
    return f"from {shape.least or 0:g} to {shape.most:g}"


def _either(value: Value, content: Scalar, shape: Shape) -> Iterator[Defect]:
    if isinstance(content, (bool, float)):
        yield _wrong_type(value, shape)


def _duration(value: Value, content: Scalar, shape: Shape) -> Iterator[Defect]:
    if not isinstance(content, str):
        how = f"{content}s" if isinstance(content, (int, float)) else ""
        yield _wrong_type(value, shape, "" if isinstance(content, bool) else how)
    elif not _DURATION.fullmatch(content):
        spelt = _SPELT_OUT.fullmatch(content)
        yield _out(value, shape.name, f"{spelt[1]}{(spelt[2] or 's').lower()}" if spelt else "")
    elif shape.type == "duration" and not re.search("[1-9]", content):
        yield _out(value, "a duration of 1ms or more")


def _word(value: Value, content: Scalar, shape: Shape) -> Iterator[Defect]:
    yield from _one_of(value, content, shape, shape.words, str)


def _protocol(value: Value, content: Scalar, shape: Shape) -> Iterator[Defect]:
    yield from _one_of(value, content, shape, _PROTOCOLS, str.upper)


def _one_of(
    value: Value,
    content: Scalar,
    shape: Shape,
    words: tuple[str, ...],
    as_read: Callable[[str], str],
) -> Iterator[Defect]:
    if not isinstance(content, str):
        yield _wrong_type(value, shape, f"one of {', '.join(words)}")
    elif content and as_read(content) not in words:
        meant = closest(content, words)
        how = meant or f"one of {', '.join(words)}"
        yield Defect(Sort.WRONG_WORD, value.at, value.path, content, meant, how)


def _name(value: Value, content: Scalar, shape: Shape) -> Iterator[Defect]:
    if not isinstance(content, str):
        yield from _text(value, content, shape)
    elif content and not (_NAME.fullmatch(content) and len(content) <= 253):
        meant = re.sub("[^-a-z0-9.]+", "-", content.lower()).strip("-.")
        yield _out(value, "a name of small letters, digits, '-' and '.'", meant[:253])


def _out(value: Value, expected: str, how: str = "") -> Defect:
    return Defect(Sort.OUT_OF_RANGE, value.at, value.path, shown(value), expected, how)


_CHECKS: dict[str, Callable[[Value, Scalar, Shape], Iterator[Defect]]] = {
    "boolean": _boolean,
    "duration": _duration,
    "duration or 0s": _duration,
    "integer": _number,
    "integer or text": _either,
    "name": _name,
    "number": _number,
    "protocol": _protocol,
    "text": _text,
    "word": _word,
}
