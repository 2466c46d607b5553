r"""Regexes as Envoy reads them: RE2, compared with the whole value.

A list of what RE2 lacks would be wrong about `{1001}` or `\Z`, and Python's `re` differs. The
structure of a pattern is parsed here without guessing: what is not understood gives no answer.
"""

from __future__ import annotations

import re
from functools import cache

from meshproof.base.regexes import compile_regex

_ESCAPE = re.compile(r"\\(?:x\{[0-9a-fA-F]+\}|x[0-9a-fA-F]{2}|[pP]\{\^?\w+\}|[pP]\w|.)", re.S)
_CLASS = re.compile(r"\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]", re.S)
_QUANTIFIER = re.compile(r"(?:[*+?]|\{\d+(?:,\d*)?\})\??")
_ANYTHING_GROUP = re.compile(r"\((?:\?:)?\.[*+]\??\)")
_FLAGS = re.compile(r"\(\?[a-zA-Z-]+\)")

#: What other dialects have and RE2 has not -> what to do instead.
_UNSUPPORTED = (
    (re.compile(r"(?<!\\)\(\?!"), "look-ahead (?!...)", "a route before it, or withoutHeaders"),
    (re.compile(r"(?<!\\)\(\?="), "look-ahead (?=...)", "two conditions, or both orders with |"),
    (re.compile(r"(?<!\\)\(\?<[!=]"), "look-behind (?<...)", "the text before it, in the regex"),
    (re.compile(r"(?<!\\)\(\?>"), "atomic group (?>...)", "(?:...): RE2 never backtracks"),
    (re.compile(r"(?<!\\)[*+?}]\+"), "possessive quantifier", "without the second +"),
    (re.compile(r"\\[1-9]"), "back-reference", "what the group takes, written out"),
    (re.compile(r"\\Z"), r"\Z", "nothing: the whole value is compared anyway"),
)


def find_error(pattern: str) -> str:
    """Return the error message of RE2 for a pattern, empty if it is valid."""
    compiled = compile_regex(pattern)
    return compiled if isinstance(compiled, str) else ""


def suggest_replacement(pattern: str) -> tuple[str, str]:
    """Return the feature of a rejected pattern that RE2 lacks, and what to write instead."""
    for feature, name, repair in _UNSUPPORTED:
        if feature.search(pattern):
            return name, repair
    return "", ""


def matches_whole(pattern: str, value: str) -> bool:
    """Say whether a pattern matches the whole of a value. An invalid one matches nothing."""
    compiled = compile_regex(pattern)
    return not isinstance(compiled, str) and compiled.fullmatch(value) is not None


def matches_part(pattern: str, value: str) -> bool:
    """Say whether a pattern matches some part of a value."""
    compiled = compile_regex(pattern)
    return not isinstance(compiled, str) and compiled.search(value) is not None


@cache
def split_atoms(pattern: str) -> tuple[tuple[str, str], ...] | None:
    """Return a pattern's atoms, each with its quantifier, without anchors at the ends.

    None if it has top-level alternatives, flags, or an anchor in the middle.
    """
    atoms: list[tuple[str, str]] = []
    index = 0
    while index < len(pattern):
        end = _find_atom_end(pattern, index)
        if end is None:
            return None
        quantifier = _QUANTIFIER.match(pattern, end)
        atoms.append((pattern[index:end], quantifier[0] if quantifier else ""))
        index = quantifier.end() if quantifier else end
    if atoms and atoms[0] in (("^", ""), ("\\A", "")):
        atoms = atoms[1:]
    if atoms and atoms[-1] in (("$", ""), ("\\z", "")):
        atoms = atoms[:-1]
    has_inner_anchor = any(atom in ("^", "$", "\\A", "\\z", "\\b", "\\B") for atom, _ in atoms)
    return None if has_inner_anchor else tuple(atoms)


def _find_atom_end(pattern: str, index: int) -> int | None:
    """Return where the atom at `index` ends, None if it is not understood."""
    character = pattern[index]
    if character in "|*+?)" or _FLAGS.match(pattern, index):
        return None
    if character == "\\":
        matched = _ESCAPE.match(pattern, index)
        return matched.end() if matched and matched[0] not in ("\\Q", "\\E") else None
    if character == "[":
        matched = _CLASS.match(pattern, index)
        return matched.end() if matched else None
    if character == "(":
        return _find_group_end(pattern, index)
    return index + 1


def _find_group_end(pattern: str, index: int) -> int | None:
    """Return where the group at `index` ends, None if it is not closed."""
    depth = 0
    while index < len(pattern):
        element_pattern = {"\\": _ESCAPE, "[": _CLASS}.get(pattern[index])
        if element_pattern is not None:
            matched = element_pattern.match(pattern, index)
            if matched is None:
                return None
            index = matched.end()
            continue
        depth += {"(": 1, ")": -1}.get(pattern[index], 0)
        index += 1
        if depth == 0:
            return index
    return None


def _read_character(atom: str) -> str:
    """Return the one character that an atom stands for, or an empty text."""
    if len(atom) == 1:
        return "" if atom in ".^$" else atom
    return atom[1] if len(atom) == 2 and atom[0] == "\\" and not atom[1].isalnum() else ""


def find_only_value(pattern: str) -> str | None:
    """Return the only value that a pattern matches, None if it matches others."""
    atoms = split_atoms(pattern)
    if atoms is None or any(quantifier or not _read_character(atom) for atom, quantifier in atoms):
        return None
    return "".join(_read_character(atom) for atom, _ in atoms)


def find_leading_text(pattern: str) -> str:
    """Return a text with which every matched value begins."""
    text = ""
    for atom, quantifier in split_atoms(pattern) or ():
        if not _read_character(atom) or quantifier not in ("", "+", "+?"):
            break
        text += _read_character(atom)
        if quantifier:
            break
    return text


def is_open_ended(pattern: str) -> bool:
    """Say whether every matched value still matches with anything after it."""
    atoms = split_atoms(pattern)
    return _matches_anything(*atoms[-1]) if atoms else False


def _matches_anything(atom: str, quantifier: str) -> bool:
    """Say whether an atom with its quantifier is `.*` or `.+`, also in a group."""
    if atom == ".":
        return quantifier in ("*", "*?", "+", "+?")
    return not quantifier and _ANYTHING_GROUP.fullmatch(atom) is not None


def find_equal_prefix(pattern: str) -> str | None:
    """Return the prefix that a pattern is equal to (`/api.*`, `.*`), or None."""
    atoms = split_atoms(pattern)
    if not atoms or not _matches_anything(*atoms[-1]) or "+" in "".join(atoms[-1]):
        return None
    if any(quantifier or not _read_character(atom) for atom, quantifier in atoms[:-1]):
        return None
    return "".join(_read_character(atom) for atom, _ in atoms[:-1])


def escape_host_dots(pattern: str) -> str:
    """Return a host pattern with those dots escaped that mean a dot: `www.example.com`."""
    atoms = split_atoms(pattern) or ()
    escaped = list(atoms)
    for index, (atom, quantifier) in enumerate(atoms[1:-1], start=1):
        if (atom, quantifier) == (".", "") and _is_part_of_name(atoms[index + 1][0]):
            escaped[index] = ("\\.", "")
    if tuple(escaped) == atoms:
        return pattern
    middle = "".join(f"{atom}{quantifier}" for atom, quantifier in escaped)
    start, end = "^" * pattern.startswith("^"), "$" * pattern.endswith("$")
    return f"{start}{middle}{end}"


def _is_part_of_name(atom: str) -> bool:
    """Say whether an atom can be part of a host name."""
    return _read_character(atom).isalnum() or atom[0] in "[("
