"""Checks single values against leaves of a shape: texts, numbers, durations, words, names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from meshproof.documents.durations import parse_duration
from meshproof.documents.form.defect import Defect, DefectKind
from meshproof.documents.manifest import Scalar, Value
from meshproof.documents.schema import Shape, find_closest_word

_SPELT_OUT = re.compile(r"(\d+(?:\.\d+)?) *(h|m|s|ms)?[a-z]*", re.I)
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
#: So much of a text is shown in a message.
_MAX_LENGTH = 60
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


def check_leaf(value: Value, shape: Shape) -> list[Defect]:
    """Return the defects of a value where a scalar should stand, or of the wrong container."""
    if isinstance(value.content, (dict, list)) or shape.is_container:
        return [_build_type_defect(value, shape, _suggest_brackets(value, shape))]
    return list(_CHECKS[shape.type](value, value.content, shape))


def repair_value(value: Value, shape: Shape) -> Value:
    """Return a value of the wrong type as the intended one, where that is obvious."""
    content = value.content
    if shape.type == "list" and not isinstance(content, list):
        return replace(value, content=[value])
    if shape.type == "mapping":
        return _unwrap_mapping(value, shape)
    if isinstance(content, str) and shape.type in ("integer", "number"):
        digits = _NUMBER.match(content)
        return (
            replace(value, content=float(digits[0]) if "." in digits[0] else int(digits[0]))
            if (digits)
            else value
        )
    if isinstance(content, (bool, int, float)) and shape.type in ("text", "name"):
        return replace(value, content=_format_scalar(content))
    return value


def _build_type_defect(value: Value, shape: Shape, repair: str = "") -> Defect:
    """Return the defect for a value of the wrong type."""
    return Defect(
        DefectKind.WRONG_TYPE, value.at, value.path, format_value(value), shape.description, repair
    )


def _suggest_brackets(value: Value, shape: Shape) -> str:
    """Return how to write the list or mapping that should stand here."""
    if shape.type == "list" and not isinstance(value.content, list):
        return "write '- ' before it: a list of one"
    if shape.type == "mapping" and isinstance(value.content, list):
        return "without the '- ' before it" if _is_one_mapping(value.content) else ""
    if shape.type == "mapping" and "exact" in shape.keys:
        return f"{{exact: {format_value(value)}}}"
    if shape.type == "mapping" and len(shape.keys) == 1 and not isinstance(value.content, list):
        return f"{{{next(iter(shape.keys))}: {format_value(value)}}}"
    return ""


def _is_one_mapping(content: list[Value]) -> bool:
    """Say whether a list has a mapping as its only entry."""
    return len(content) == 1 and isinstance(content[0].content, dict)


def _unwrap_mapping(value: Value, shape: Shape) -> Value:
    """Return the mapping that a list of one mapping, or a bare text, was meant to be."""
    if isinstance(value.content, list) and _is_one_mapping(value.content):
        return value.content[0]
    if isinstance(value.content, str) and "exact" in shape.keys:
        exact_value = Value(*value.at, f"{value.path}.exact", value.content)
        return replace(value, content={"exact": exact_value})
    return value


def format_value(value: Value) -> str:
    """Return a value as messages show it."""
    if isinstance(value.content, dict):
        return "a mapping"
    if isinstance(value.content, list):
        return "a list"
    if isinstance(value.content, str):
        ellipsis = "..." if len(value.content) > _MAX_LENGTH else ""
        return f'"{value.content[:_MAX_LENGTH]}{ellipsis}"'
    return _format_scalar(value.content)


def _format_scalar(content: Scalar) -> str:
    """Return a scalar as YAML writes it."""
    return str(content).lower() if isinstance(content, bool) else str(content)


def _check_text(value: Value, content: Scalar, shape: Shape) -> Iterator[Defect]:
    """Yield a defect unless it is a text."""
    if not isinstance(content, str):
        yield _build_type_defect(value, shape, f'in quotes: "{_format_scalar(content)}"')


def _check_boolean(value: Value, content: Scalar, shape: Shape) -> Iterator[Defect]:
    """Yield a defect unless it is true or false."""
    if not isinstance(content, bool):
        word = content.lower() if isinstance(content, str) else ""
        yield _build_type_defect(value, shape, word if word in ("true", "false") else "")


def _check_number(value: Value, content: Scalar, shape: Shape) -> Iterator[Defect]:
    """Yield a defect unless it is a number, whole for an integer, in its range."""
    is_integer = shape.type == "integer"
    if isinstance(content, str):
        digits = _NUMBER.match(content)
        yield _build_type_defect(value, shape, f"without quotes: {digits[0]}" if digits else "")
    elif isinstance(content, bool) or not isinstance(content, (int, float)):
        yield _build_type_defect(value, shape)
    elif is_integer and content != int(content):
        yield _build_type_defect(value, shape, str(round(content)))
    elif (
        not (shape.minimum or -1e300)
        <= content
        <= (1e300 if shape.maximum is None else shape.maximum)
    ):
        yield _build_range_defect(value, f"{shape.description} {_format_range(shape)}")


def _format_range(shape: Shape) -> str:
    """Return the range of a number in words."""
    if shape.minimum is None and shape.maximum is None:
        return "that is not as large"
    if shape.maximum is None:
        return f"of {shape.minimum:g} or more"
    return f"from {shape.minimum or 0:g} to {shape.maximum:g}"


def _check_integer_or_text(value: Value, content: Scalar, shape: Shape) -> Iterator[Defect]:
    """Yield a defect unless it is an integer or a text."""
    if isinstance(content, (bool, float)):
        yield _build_type_defect(value, shape)


#: Istio refuses shorter ones (ValidateDuration, and the rules of its CRDs).
_MIN_SECONDS = 0.001


def _check_duration(value: Value, content: Scalar, shape: Shape) -> Iterator[Defect]:
    """Yield a defect unless it is a duration as Go writes it, above 0 where needed."""
    if not isinstance(content, str):
        repair = f"{content}s" if isinstance(content, (int, float)) else ""
        yield _build_type_defect(value, shape, "" if isinstance(content, bool) else repair)
    elif (seconds := parse_duration(content)) is None:
        spelt_out = _SPELT_OUT.fullmatch(content)
        yield _build_range_defect(
            value,
            shape.description,
            f"{spelt_out[1]}{(spelt_out[2] or 's').lower()}" if spelt_out else "",
        )
    elif shape.type == "duration" and seconds < _MIN_SECONDS:
        yield _build_range_defect(value, "a duration of 1ms or more")


def _check_word(value: Value, content: Scalar, shape: Shape) -> Iterator[Defect]:
    """Yield a defect unless it is one of the choices."""
    yield from _check_choice(value, content, shape, shape.choices, str)


def _check_protocol(value: Value, content: Scalar, shape: Shape) -> Iterator[Defect]:
    """Yield a defect unless it is a protocol of Istio, in either case."""
    yield from _check_choice(value, content, shape, _PROTOCOLS, str.upper)


def _check_choice(
    value: Value,
    content: Scalar,
    shape: Shape,
    choices: tuple[str, ...],
    as_read: Callable[[str], str],
) -> Iterator[Defect]:
    """Yield a defect unless it is one of `choices` once `as_read` is applied."""
    if not isinstance(content, str):
        yield _build_type_defect(value, shape, f"one of {', '.join(choices)}")
    elif content and as_read(content) not in choices:
        nearest_choice = find_closest_word(content, choices)
        repair = nearest_choice or f"one of {', '.join(choices)}"
        yield Defect(
            DefectKind.WRONG_WORD, value.at, value.path, content, nearest_choice, repair, choices
        )


def _check_name(value: Value, content: Scalar, shape: Shape) -> Iterator[Defect]:
    """Yield a defect unless it is a name of a Kubernetes object."""
    if not isinstance(content, str):
        yield from _check_text(value, content, shape)
    elif content and not (_NAME.fullmatch(content) and len(content) <= 253):
        valid_name = re.sub("[^-a-z0-9.]+", "-", content.lower()).strip("-.")
        yield _build_range_defect(
            value, "a name of small letters, digits, '-' and '.'", valid_name[:253]
        )


def _build_range_defect(value: Value, expected: str, repair: str = "") -> Defect:
    """Return the defect for a value out of range."""
    return Defect(
        DefectKind.OUT_OF_RANGE, value.at, value.path, format_value(value), expected, repair
    )


_CHECKS: dict[str, Callable[[Value, Scalar, Shape], Iterator[Defect]]] = {
    "boolean": _check_boolean,
    "duration": _check_duration,
    "duration or 0s": _check_duration,
    "integer": _check_number,
    "integer or text": _check_integer_or_text,
    "name": _check_name,
    "number": _check_number,
    "protocol": _check_protocol,
    "text": _check_text,
    "word": _check_word,
}
