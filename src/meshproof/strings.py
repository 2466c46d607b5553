"""Strings that a match takes and strings that it just misses, checked with RE2's semantics.

Istio's regexes are RE2 on the whole value (Istio reference, StringMatch).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

from meshproof.rules.model import StringMatch

_SAMPLES = 40
#: Characters that a request line or a header can carry without being encoded.
_PLAIN = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")


def matches(wanted: StringMatch, value: str) -> bool:
    """Say whether a value is taken: exact, by prefix, by RE2 on the whole value, or present."""
    if wanted.kind == "exact":
        return value == wanted.value
    if wanted.kind == "prefix":
        return value.startswith(wanted.value)
    if wanted.kind == "regex":
        import re2

        return re2.fullmatch(wanted.value, value) is not None
    return True


def matching(wanted: StringMatch, default: str) -> Iterator[str]:
    """Yield different values that are taken, the simplest first; `default` where any will do."""
    if wanted.kind == "exact":
        yield wanted.value
    elif wanted.kind == "prefix":
        yield wanted.value
        yield f"{wanted.value}x"
    elif wanted.kind == "regex":
        yield from _generated(wanted)
    else:
        yield default


def _generated(wanted: StringMatch) -> Iterator[str]:
    """Yield values made from a regex, shortest first; each is checked with RE2."""
    import rstr

    maker = rstr.Rstr(Random(wanted.value))
    seen: set[str] = set()
    for _ in range(_SAMPLES):
        try:
            made = maker.xeger(wanted.value)
        except Exception:  # whatever the generator cannot do, RE2 may still take
            break
        seen.add(made)
    seen.update(_literal(wanted.value))
    usable = [one for one in seen if _PLAIN.fullmatch(one) and matches(wanted, one)]
    yield from sorted(usable, key=lambda one: (len(one), one))


def _literal(pattern: str) -> list[str]:
    """Return the pattern's plain letters: for many regexes they are a value that is meant."""
    bare = re.sub(r"\(\?[^)]*\)|\[[^\]]*\]|\(\.[^)]*\)\??|[\^$]|\\.|[.*+?(){}|]", "", pattern)
    return [bare] if bare else []


def missing(wanted: StringMatch, value: str) -> Iterator[tuple[str, str]]:
    """Yield (words, other value) for values near `value` that are not taken."""
    for words, other in (
        ("one character short", value[:-1]),
        ("one character more", f"{value}x"),
        ("in other case", value.swapcase()),
        ("with something before it", f"x{value}"),
        ("that is another", _another(value)),
    ):
        if other != value and _PLAIN.fullmatch(other) and not matches(wanted, other):
            yield words, other


def _another(value: str) -> str:
    return "/meshproof-other" if value.startswith("/") else "meshproof-other"


def cookies(value: str) -> Iterator[tuple[str, str]]:
    """Yield the ways in which a browser sends a cookie with others (RFC 6265, section 4.2.1)."""
    name, equals, content = value.partition("=")
    if not equals or ";" in value:
        return
    yield "first of two", f"{value}; a=b"
    yield "last of two", f"a=b; {value}"
    yield "between two", f"a=b; {value}; c=d"
    yield "longer", f"{value}x"
    yield "with a longer name", f"x{value}"
    yield "in other case", f"{name}={content.swapcase()}"
