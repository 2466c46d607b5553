"""Values that a string match takes, and values that it just misses.

Istio's regexes are RE2 on the whole value (Istio reference, StringMatch).
"""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from meshproof.oracle import regex_variants
from meshproof.rules.common_fields import compile_string_match
from meshproof.rules.model import StringMatch

#: A header, value or path that no sensible rule matches.
UNMATCHED_VALUE = "meshproof-other"
_MAX_SAMPLES = 40
#: The maximum length of a value generated from a regex: a longer one proves no more.
_MAX_LENGTH = 512
#: Preferred characters where a regex leaves the choice.
_SIMPLE_CHARACTERS = frozenset(string.ascii_lowercase + string.digits)
#: Values that a header carries without encoding or trimming.
_HEADER_VALUE = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")


def matches(string_match: StringMatch, value: str) -> bool:
    """Say whether a string match takes a value.

    Raises BadRules for a regex that RE2 rejects.
    """
    if string_match.kind == "exact":
        return value == string_match.value
    if string_match.kind == "prefix":
        return value.startswith(string_match.value)
    if string_match.kind == "path_prefix":
        return f"{value}/".startswith(f"{string_match.value}/")
    if string_match.kind == "regex":
        return compile_string_match(string_match).fullmatch(value) is not None
    return True


def describe_condition(string_match: StringMatch) -> str:
    """Return a string match in words: `prefix '/a'`, or `present`."""
    return (
        f"{string_match.kind_in_words} '{string_match.value}'"
        if string_match.value
        else string_match.kind_in_words
    )


def replace_matches(string_match: StringMatch, substitution: str, value: str) -> str:
    r"""Return a value with each match of a regex replaced. \1 is the first group.

    Raises BadRules for a regex or substitution that RE2 rejects.
    """
    import re2

    try:
        return str(compile_string_match(string_match).sub(substitution, value))
    except (re2.error, IndexError) as error:
        raise string_match.at.error(f"RE2 does not take '{substitution}': {error}") from None


def generate_paths_with(
    string_match: StringMatch, path: str, is_taken: Callable[[str], bool]
) -> list[str]:
    """Return paths that have a part that a regex takes, and for which `is_taken` is true.

    The groups of the first are as different as can be, the others are at the edges of the regex,
    the last is below the first.
    Raises BadRules for a regex that RE2 rejects.
    """
    compiled = compile_string_match(string_match)
    candidates: dict[str, tuple[str, str]] = {}
    for sample in _generate_from_regex(string_match.value):
        starts = ("",) if sample.startswith("/") else (path, f"{path.rstrip('/')}/", "/")
        for start in (*starts, path.rstrip("/")):
            candidates[start + sample] = start, sample
    fitting = [
        candidate
        for candidate in candidates
        if is_taken(candidate) and compiled.search(candidate) is not None
    ]
    if not fitting:
        return []
    chosen = max(fitting, key=lambda text: len(set(compiled.search(text).groups())))
    start, sample = candidates[chosen]

    def takes_whole(part: str) -> bool:
        return is_taken(start + part) and compiled.fullmatch(part) is not None

    extremes = regex_variants.generate_extremes(sample, takes_whole)
    below = f"{chosen.rstrip('/')}/x"
    paths = [chosen, *(start + extreme for _, extreme in extremes)]
    return [*paths, below] if below not in paths and is_taken(below) else paths


def generate_paths_beside(
    string_match: StringMatch, path: str, fitting: list[str], is_taken: Callable[[str], bool]
) -> list[str]:
    """Return paths near those that have a part that a regex takes, but without such a part.

    `fitting` are those with it. Raises BadRules for a regex that RE2 rejects.
    """
    if not fitting:
        return []
    compiled = compile_string_match(string_match)

    def has_part(candidate: str) -> bool:
        return compiled.search(candidate) is not None

    below = path.rstrip("/") + fitting[0]  # one that an anchor alone keeps away
    near_misses = [miss for _, miss in regex_variants.generate_near_misses(fitting[0], has_part)]
    return [
        candidate
        for candidate in dict.fromkeys((below, *near_misses))
        if is_taken(candidate) and not has_part(candidate)
    ]


def replace_prefix(prefix: str, replacement: str, path: str) -> str:
    """Return a path below `prefix` as a path below `replacement`.

    Source: Gateway API reference, HTTPPathModifier (the table of ReplacePrefixMatch).
    """
    elements = path[len(prefix) :].split("/")[1:]
    return "/".join([replacement.rstrip("/"), *elements]) or "/"


def is_sendable_value(value: str) -> bool:
    """Say whether a header can carry a value unchanged."""
    return _HEADER_VALUE.fullmatch(value) is not None


def generate_matches(string_match: StringMatch, default: str) -> Iterator[str]:
    """Yield values that a string match takes, the simplest first; `default` if it takes any."""
    if string_match.kind == "exact":
        yield string_match.value
    elif string_match.kind == "prefix":
        yield string_match.value
        yield f"{string_match.value}x"
    elif string_match.kind == "path_prefix":
        yield string_match.value
        yield f"{string_match.value}/x"
    elif string_match.kind == "regex":
        compile_string_match(string_match)  # values of one that RE2 rejects may take hours to make
        yield from (
            value
            for value in _generate_from_regex(string_match.value)
            if matches(string_match, value)
        )
    else:
        yield default


class _SimplestChoices(Random):
    """Draws small numbers and simple characters, so that values from a regex stay readable.

    The draws depend on the seed alone, though the sets that rstr passes have no stable order.
    """

    def randint(self, a: int, b: int) -> int:
        """Return the least number, or one more."""
        return min(a + (self.random() < 0.5), b)

    def choice(self, seq: Any) -> Any:
        """Return a simple character where there is one, else any of the sorted characters."""
        if not isinstance(seq, str) and not all(isinstance(member, str) for member in seq):
            return seq[int(self.random() * len(seq))]  # branches of an alternation
        characters = sorted(set(seq))
        preferred = [
            character for character in characters if character in _SIMPLE_CHARACTERS
        ] or characters
        return preferred[int(self.random() * len(preferred))]


@functools.lru_cache(maxsize=4096)
def _generate_from_regex(pattern: str) -> tuple[str, ...]:
    """Return values generated from a regex, shortest first. RE2 may still reject some."""
    import rstr

    generator = rstr.Rstr(_SimplestChoices(pattern))
    samples = {stripped} if (stripped := _strip_operators(pattern)) else set()
    for _ in range(_MAX_SAMPLES):
        try:
            samples.add(generator.xeger(pattern))
        except Exception:  # RE2 may take a regex that the generator does not support
            break
    usable = [
        sample
        for sample in samples
        if len(sample) <= _MAX_LENGTH and _HEADER_VALUE.fullmatch(sample)
    ]
    return tuple(sorted(usable, key=lambda sample: (len(sample), sample)))


def _strip_operators(pattern: str) -> str:
    r"""Return a regex without operators and without `[...]`, `\d` (any letter), `(?...)`, `(.*)`.

    For many regexes this is the intended value: `^v1\.2[a-z]*$` gives `v1.2`.
    """
    stripped = re.sub(r"\(\?[^)]*\)|\[[^\]]*\]|\(\.[^)]*\)\??|[\^$]|\\[a-zA-Z]", "", pattern)
    return re.sub(r"[*+?(){}|]|(?<!\\)\.|\\(?=\W)", "", stripped)


def generate_near_misses(
    string_match: StringMatch, value: str, is_match: Callable[[str], bool] | None = None
) -> Iterator[tuple[str, str]]:
    """Yield (description, value) for values near `value` that are not taken.

    `is_match` says which values are taken (default: `matches`).
    """
    is_path = value.startswith("/")
    is_match = is_match or functools.partial(matches, string_match)
    candidates = [
        ("one character short", value[:-1]),
        ("one character more", f"{value}x"),
        ("in other case", value.swapcase()),
        ("with something before it", f"/x{value}" if is_path else f"x{value}"),
        ("something else", f"/{UNMATCHED_VALUE}" if is_path else UNMATCHED_VALUE),
    ]
    if is_path:
        candidates.append(("below it", f"{value.rstrip('/')}/x"))
    if string_match.kind == "regex":
        candidates += regex_variants.generate_near_misses(value, is_match)
    tried = {value}
    for description, near_miss in candidates:
        if (
            near_miss not in tried
            and _HEADER_VALUE.fullmatch(near_miss)
            and not is_match(near_miss)
        ):
            tried.add(near_miss)
            yield description, near_miss


def generate_similar_matches(string_match: StringMatch, value: str) -> Iterator[tuple[str, str]]:
    """Yield (description, value) for other values that a string match also takes."""
    if string_match.kind == "prefix":
        yield "and more", f"{value}x"
    elif string_match.kind == "path_prefix":
        yield "with a slash after it", f"{string_match.value}/"
        yield "and what is below it", f"{string_match.value}/x"
    elif string_match.kind == "present":
        yield "of any value", UNMATCHED_VALUE
    elif string_match.kind == "regex":
        for sample in [match for match in generate_matches(string_match, "") if match != value][
            -1:
        ]:
            yield "another that fits", sample
        is_match = functools.partial(matches, string_match)
        yield from regex_variants.generate_extremes(value, is_match)


def generate_cookie_variants(value: str) -> Iterator[tuple[str, str]]:
    """Yield (description, header) for a cookie among others, and for cookies that look like it.

    Source: RFC 6265, section 4.2.1.
    """
    name, equals, content = value.partition("=")
    if not equals or ";" in value:
        return
    yield "first of two", f"{value}; a=b"
    yield "last of two", f"a=b; {value}"
    yield "between two", f"a=b; {value}; c=d"
    yield "with a longer value", f"{value}x"
    yield "with a longer name", f"x{value}"
    yield "in other case", f"{name}={content.swapcase()}"
