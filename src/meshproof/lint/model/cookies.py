"""Cookies as browsers send them, and how a match takes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from meshproof.lint.model import regexes
from meshproof.lint.model.string_matches import StringMatch

_NAME, _VALUE = r"[A-Za-z0-9_-]+", r"(?:[A-Za-z0-9_%/+-]|\\\.)"
_PAIR = re.compile(rf"(?P<name>{_NAME})=(?P<value>{_VALUE}*)(?=(?P<after>.{{0,2}}))", re.S)
_CHOICE = re.compile(rf"(?P<name>{_NAME})=\((?:\?:)?(?P<first>{_VALUE}+)(?:\|{_VALUE}+)*\)")
#: What may stand after a cookie's value that is written out: its end, or "whatever follows".
_VALUE_END = re.compile(r"$|[)(|;$]|\.[*+]|\[\^;")
_SAMPLE_VALUES = ("x", "1", "true", "abc", "a1b2", "A", "0123456789abcdef")


@lru_cache(maxsize=4096)
def find_cookie(one: StringMatch) -> tuple[str, str] | None:
    """Return the cookie that a match is about, as the regex for it and as it is sent.

    None where the match names no cookie, or takes it in no place at all.
    """
    if one.match_type != "regex":
        found = _PAIR.fullmatch(one.text)
        return (re.escape(one.text).replace("\\-", "-"), one.text) if found else None
    for wanted, sent in _guess_cookies(one.text):
        if _matches_somewhere(one, sent):
            return wanted, sent
    return None


def _guess_cookies(text: str) -> Iterator[tuple[str, str]]:
    """Yield what a regex may be about: regex of the cookie, cookie as it is sent."""
    choice = _CHOICE.search(text)
    if choice:
        yield choice[0], f"{choice['name']}={_unescape_dots(choice['first'])}"
        return
    pairs = list(_PAIR.finditer(text))
    fixed = [each for each in pairs if each["value"] and _VALUE_END.match(each["after"])]
    if fixed and len(fixed) == len(pairs):
        every = [f"{each['name']}={each['value']}" for each in fixed]
        yield every[0] if len(every) == 1 else f"({'|'.join(every)})", _unescape_dots(every[0])
    elif len(pairs) == 1:
        (each,) = pairs
        start = f"{each['name']}={each['value']}"
        for more in _SAMPLE_VALUES:
            yield f"{start}[^;]*", f"{_unescape_dots(start)}{more}"


def _unescape_dots(text: str) -> str:
    return text.replace("\\.", ".")


def _build_headers(sent: str) -> tuple[str, ...]:
    """Return the headers that hold a cookie: alone, last, first, between others."""
    return sent, f"a=b; {sent}", f"{sent}; a=b", f"a=b; {sent}; c=d"


def _matches_somewhere(one: StringMatch, sent: str) -> bool:
    return any(
        _matches_header(one, header)
        for header in (*_build_headers(sent), f"a=b;{sent}", f"{sent};a=b")
    )


def _matches_header(one: StringMatch, header: str) -> bool:
    if one.match_type == "regex":
        return regexes.matches_whole(one.text, header)
    return header == one.text if one.match_type == "exact" else header.startswith(one.text)


@lru_cache(maxsize=4096)
def find_missed_header(one: StringMatch) -> tuple[str, str] | None:
    """Return a header that a match should take and does not, and the regex of its cookie."""
    found = find_cookie(one)
    if found is None or (";" in one.text and one.match_type != "regex"):
        return None
    wanted, sent = found
    for header in _build_headers(sent):
        if not _matches_header(one, header):
            return header, wanted
    return None


def find_wrongly_matched_header(one: StringMatch) -> tuple[str, str] | None:
    """Return a header with another cookie that a match takes too, and the regex of its own."""
    found = find_cookie(one)
    if found is None or find_missed_header(one):
        return None
    wanted, sent = found
    others = [f"x{sent}", f"a=x{sent}"] if wanted.endswith("[^;]*") else [f"{sent}x", f"x{sent}"]
    for other in others:
        if _matches_header(one, other):
            return other, wanted
    return None


def build_cookie_regex(wanted: str, sort: str = "regex") -> str:
    """Return the regex that takes a cookie in each place and no other."""
    found = rf"^(.*?;\s*)?{wanted}(;.*)?$"
    return found if sort == "regex" else f"regex: {found}"
