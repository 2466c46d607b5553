"""Strings that a match takes and strings that it just misses, checked with RE2's semantics.

Istio's regexes are RE2 on the whole value (Istio reference, StringMatch).
"""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from meshproof.rules.model import StringMatch

_MAX_SAMPLES = 40
#: So long may a value be that stands for a regex: a longer one proves no more.
_MAX_LENGTH = 512
#: What a value is made of where a regex leaves the choice.
_SIMPLE_CHARACTERS = frozenset(string.ascii_lowercase + string.digits)
#: Values that a header can carry without being encoded or trimmed.
_HEADER_VALUE = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")


def matches(wanted: StringMatch, value: str) -> bool:
    """Say whether a value is taken: exact, by prefix, below a path, by RE2 as a whole, or present.

    Raises BadRules for a regex that RE2 does not take.
    """
    if wanted.kind == "exact":
        return value == wanted.value
    if wanted.kind == "prefix":
        return value.startswith(wanted.value)
    if wanted.kind == "path_prefix":
        return f"{value}/".startswith(f"{wanted.value}/")
    if wanted.kind == "regex":
        return _compile_regex(wanted).fullmatch(value) is not None
    return True


def describe_condition(wanted: StringMatch) -> str:
    """Return a condition in words: `prefix '/a'`, or `present`."""
    return f"{wanted.kind} '{wanted.value}'" if wanted.value else wanted.kind


def _compile_regex(wanted: StringMatch) -> Any:
    found = _try_compile(wanted.value)
    if isinstance(found, str):
        raise wanted.at.error(f"RE2 does not take the regex '{wanted.value}': {found}")
    return found


@functools.lru_cache(maxsize=4096)
def _try_compile(pattern: str) -> Any:
    """Return the compiled regex, or why RE2 does not take it."""
    import re2

    options = re2.Options()
    options.log_errors = False  # it would go to standard error
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0]
        return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


def replace_matches(wanted: StringMatch, substitution: str, value: str) -> str:
    r"""Return a value with every part that a regex finds replaced; \1 is its first group.

    Raises BadRules for what RE2 does not take.
    """
    import re2

    try:
        return str(_compile_regex(wanted).sub(substitution, value))
    except (re2.error, IndexError) as error:
        raise wanted.at.error(f"RE2 does not take '{substitution}': {error}") from None


def replace_prefix(prefix: str, to: str, path: str) -> str:
    """Return a path below `prefix` as it is below `to`, element by element.

    Source: Gateway API reference, HTTPPathModifier (the table of ReplacePrefixMatch).
    """
    rest = path[len(prefix) :].split("/")[1:]
    return "/".join([to.rstrip("/"), *rest]) or "/"


def is_sendable_value(value: str) -> bool:
    """Say whether a header can carry a value as it is."""
    return _HEADER_VALUE.fullmatch(value) is not None


def generate_matches(wanted: StringMatch, default: str) -> Iterator[str]:
    """Yield different values that are taken, the simplest first; `default` where any will do."""
    if wanted.kind == "exact":
        yield wanted.value
    elif wanted.kind == "prefix":
        yield wanted.value
        yield f"{wanted.value}x"
    elif wanted.kind == "path_prefix":
        yield wanted.value
        yield f"{wanted.value}/x"
    elif wanted.kind == "regex":
        yield from (one for one in _generate_from_regex(wanted.value) if matches(wanted, one))
    else:
        yield default


class _SimplestChoices(Random):
    """Draws small numbers and simple characters, so that what is made of a regex can be read.

    Its draws depend on the seed alone: rstr hands over sets whose order is another in each run.
    """

    def randint(self, a: int, b: int) -> int:
        """Return the least number, or one more."""
        return min(a + (self.random() < 0.5), b)

    def choice(self, seq: Any) -> Any:
        """Return a simple character where there is one, else any of the sorted characters."""
        if not isinstance(seq, str) and not all(isinstance(one, str) for one in seq):
            return seq[int(self.random() * len(seq))]  # branches of an alternation
        found = sorted(set(seq))
        simple = [one for one in found if one in _SIMPLE_CHARACTERS] or found
        return simple[int(self.random() * len(simple))]


@functools.lru_cache(maxsize=4096)
def _generate_from_regex(pattern: str) -> tuple[str, ...]:
    """Return values made from a regex, shortest first; what takes them is up to RE2."""
    import rstr

    maker = rstr.Rstr(_SimplestChoices(pattern))
    seen = {bare} if (bare := _strip_operators(pattern)) else set()
    for _ in range(_MAX_SAMPLES):
        try:
            seen.add(maker.xeger(pattern))
        except Exception:  # whatever the generator cannot do, RE2 may still take
            break
    usable = [one for one in seen if len(one) <= _MAX_LENGTH and _HEADER_VALUE.fullmatch(one)]
    return tuple(sorted(usable, key=lambda one: (len(one), one)))


def _strip_operators(pattern: str) -> str:
    """Return the pattern's plain letters: for many regexes they are a value that is meant."""
    bare = re.sub(r"\(\?[^)]*\)|\[[^\]]*\]|\(\.[^)]*\)\??|[\^$]|\\[a-zA-Z]", "", pattern)
    return re.sub(r"[*+?(){}|]|(?<!\\)\.|\\(?=\W)", "", bare)


def generate_near_misses(
    wanted: StringMatch, value: str, taken: Callable[[str], bool] | None = None
) -> Iterator[tuple[str, str]]:
    """Yield (words, other value) for values near `value` that are not taken (as `matches` says)."""
    path = value.startswith("/")
    near = (
        ("one character short", value[:-1]),
        ("one character more", f"{value}x"),
        ("in other case", value.swapcase()),
        ("with something before it", f"/x{value}" if path else f"x{value}"),
        ("something else", "/meshproof-other" if path else "meshproof-other"),
    )
    taken = taken or functools.partial(matches, wanted)
    seen = {value}
    for words, other in near:
        if other not in seen and _HEADER_VALUE.fullmatch(other) and not taken(other):
            seen.add(other)
            yield words, other


def generate_similar_matches(wanted: StringMatch, value: str) -> Iterator[tuple[str, str]]:
    """Yield (words, other value) for values unlike `value` that are taken all the same."""
    if wanted.kind == "prefix":
        yield "and more", f"{value}x"
    elif wanted.kind == "path_prefix":
        yield "with a slash after it", f"{wanted.value}/"
        yield "and what is below it", f"{wanted.value}/x"
    elif wanted.kind == "regex":
        for other in [one for one in generate_matches(wanted, "") if one != value][-1:]:
            yield "another that fits", other


def generate_cookie_variants(value: str) -> Iterator[tuple[str, str]]:
    """Yield the ways in which a browser sends a cookie with others (RFC 6265, section 4.2.1)."""
    name, equals, content = value.partition("=")
    if not equals or ";" in value:
        return
    yield "first of two", f"{value}; a=b"
    yield "last of two", f"a=b; {value}"
    yield "between two", f"a=b; {value}; c=d"
    yield "with a longer value", f"{value}x"
    yield "with a longer name", f"x{value}"
    yield "in other case", f"{name}={content.swapcase()}"
