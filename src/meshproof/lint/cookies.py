"""Cookies as browsers send them, and how a match takes them."""

from __future__ import annotations

import re

from meshproof.lint import regexes
from meshproof.lint.patterns import Pattern

_PAIR = re.compile(
    r"(?P<name>[A-Za-z0-9_-]+)=(?P<value>(?:[A-Za-z0-9_%/+-]|\\\.)*)(?P<more>[^;$]?)"
)
_VALUES = ("x", "1", "true", "abc", "a1b2", "A", "0123456789abcdef")


def pair(one: Pattern) -> tuple[str, str] | None:
    """Return the cookie that a match is about, as the regex for it and as it is sent.

    None where the match names no cookie, or takes it in no place at all.
    """
    found = _PAIR.search(one.text)
    if found is None:
        return None
    name, value = found["name"], found["value"].replace("\\.", ".")
    fixed = found["more"] in ("", ")", "(", "|") or one.sort != "regex"
    if value and fixed:
        sent, wanted = f"{name}={value}", re.escape(f"{name}={value}").replace("\\-", "-")
        return (wanted, sent) if one.sort != "regex" or _in_any_place(one, sent) else None
    for tried in (f"{value}{more}" for more in _VALUES):
        if _in_any_place(one, f"{name}={tried}"):
            return f"{name}=[^;]*" if not value else f"{name}={value}[^;]*", f"{name}={tried}"
    return None


def _headers(sent: str) -> tuple[str, ...]:
    """Return the headers that hold a cookie: alone, last, first, between others."""
    return sent, f"a=b; {sent}", f"{sent}; a=b", f"a=b; {sent}; c=d"


def _in_any_place(one: Pattern, sent: str) -> bool:
    return any(_takes(one, header) for header in (*_headers(sent), f"a=b;{sent}", f"{sent};a=b"))


def _takes(one: Pattern, header: str) -> bool:
    if one.sort == "regex":
        return regexes.takes(one.text, header)
    return header == one.text if one.sort == "exact" else header.startswith(one.text)


def missed(one: Pattern) -> tuple[str, str] | None:
    """Return a header that a match should take and does not, and the regex of its cookie."""
    found = pair(one)
    if found is None or (";" in one.text and one.sort != "regex"):
        return None
    wanted, sent = found
    for header in _headers(sent):
        if not _takes(one, header):
            return header, wanted
    return None


def also_taken(one: Pattern) -> tuple[str, str] | None:
    """Return a header with another cookie that a match takes too, and the regex of its own."""
    found = pair(one)
    if found is None or missed(one):
        return None
    wanted, sent = found
    others = [f"x{sent}", f"a=x{sent}"] if wanted.endswith("[^;]*") else [f"{sent}x", f"x{sent}"]
    for other in others:
        if _takes(one, other):
            return other, wanted
    return None


def repaired(wanted: str, sort: str = "regex") -> str:
    """Return the regex that takes a cookie in each place and no other."""
    found = rf"^(.*?;\s*)?{wanted}(;.*)?$"
    return found if sort == "regex" else f"regex: {found}"
