"""Cookies as browsers send them, and which of them a match on the cookie header finds."""

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
def find_cookie(string_match: StringMatch) -> tuple[str, str] | None:
    """Return the cookie that a match is for: as a regex, and as a browser sends it.

    None if the match names no cookie, or finds it in no position of the header.
    """
    if string_match.match_type != "regex":
        pair = _PAIR.fullmatch(string_match.text)
        return (
            (re.escape(string_match.text).replace("\\-", "-"), string_match.text) if pair else None
        )
    for cookie_regex, cookie in _guess_cookies(string_match.text):
        if _matches_somewhere(string_match, cookie):
            return cookie_regex, cookie
    return None


def _guess_cookies(text: str) -> Iterator[tuple[str, str]]:
    """Yield the cookies that a regex may be for: as a regex, and as a browser sends it."""
    choice = _CHOICE.search(text)
    if choice:
        yield choice[0], f"{choice['name']}={_unescape_dots(choice['first'])}"
        return
    pairs = list(_PAIR.finditer(text))
    complete_pairs = [pair for pair in pairs if pair["value"] and _VALUE_END.match(pair["after"])]
    if complete_pairs and len(complete_pairs) == len(pairs):
        cookies = [f"{pair['name']}={pair['value']}" for pair in complete_pairs]
        yield (
            cookies[0] if len(cookies) == 1 else f"({'|'.join(cookies)})",
            _unescape_dots(cookies[0]),
        )
    elif len(pairs) == 1:
        (pair,) = pairs
        beginning = f"{pair['name']}={pair['value']}"
        for value in _SAMPLE_VALUES:
            yield f"{beginning}[^;]*", f"{_unescape_dots(beginning)}{value}"


def _unescape_dots(text: str) -> str:
    """Return the text that a regex with escaped dots stands for."""
    return text.replace("\\.", ".")


def _build_headers(cookie: str) -> tuple[str, ...]:
    """Return headers with the cookie alone, last, first and between others."""
    return cookie, f"a=b; {cookie}", f"{cookie}; a=b", f"a=b; {cookie}; c=d"


def _matches_somewhere(string_match: StringMatch, cookie: str) -> bool:
    """Say whether a match finds the cookie in any position of the header."""
    return any(
        _matches_header(string_match, header)
        for header in (*_build_headers(cookie), f"a=b;{cookie}", f"{cookie};a=b")
    )


def _matches_header(string_match: StringMatch, header: str) -> bool:
    """Say whether a match accepts a cookie header."""
    if string_match.match_type == "regex":
        return regexes.matches_whole(string_match.text, header)
    return (
        header == string_match.text
        if string_match.match_type == "exact"
        else header.startswith(string_match.text)
    )


@lru_cache(maxsize=4096)
def find_missed_header(string_match: StringMatch) -> tuple[str, str] | None:
    """Return a header with the cookie that the match should accept but does not, and its regex."""
    regex_and_cookie = find_cookie(string_match)
    if regex_and_cookie is None or (
        ";" in string_match.text and string_match.match_type != "regex"
    ):
        return None
    cookie_regex, cookie = regex_and_cookie
    for header in _build_headers(cookie):
        if not _matches_header(string_match, header):
            return header, cookie_regex
    return None


def find_wrongly_matched_header(string_match: StringMatch) -> tuple[str, str] | None:
    """Return a header with another cookie that the match accepts, and the regex it is for."""
    regex_and_cookie = find_cookie(string_match)
    if regex_and_cookie is None or find_missed_header(string_match):
        return None
    cookie_regex, cookie = regex_and_cookie
    foreign_headers = (
        [f"x{cookie}", f"a=x{cookie}"]
        if cookie_regex.endswith("[^;]*")
        else [f"{cookie}x", f"x{cookie}"]
    )
    for header in foreign_headers:
        if _matches_header(string_match, header):
            return header, cookie_regex
    return None


def build_cookie_regex(cookie_regex: str, match_type: str = "regex") -> str:
    """Return a regex that finds a cookie in every position, and no other cookie."""
    header_regex = rf"^(.*?;\s*)?{cookie_regex}(;.*)?$"
    return header_regex if match_type == "regex" else f"regex: {header_regex}"
