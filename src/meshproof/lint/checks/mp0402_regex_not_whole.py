"""Regex that would have to match the whole value."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model import regexes
from meshproof.lint.model.string_matches import StringMatch, read_regexes

CODE = "MP0402"

_MOZILLA = "Mozilla/5.0"
_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
#: Values as clients of today send them, by header.
_REAL_VALUES = {
    "user-agent": (
        f"{_MOZILLA} (X11; Linux x86_64) {_WEBKIT} Chrome/143.0.0.0 Safari/537.36",
        f"{_MOZILLA} (Windows NT 10.0; Win64; x64) {_WEBKIT} "
        "Chrome/143.0.0.0 Safari/537.36 Edg/143.0",
        f"{_MOZILLA} (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
        f"{_MOZILLA} (Macintosh; Intel Mac OS X 10_15_7) {_WEBKIT} Version/18.5 Safari/605.1.15",
        f"{_MOZILLA} (iPhone; CPU iPhone OS 18_5 like Mac OS X) {_WEBKIT} "
        "Mobile/15E148 Safari/604.1",
        f"{_MOZILLA} (iPad; CPU OS 18_5 like Mac OS X) {_WEBKIT} Mobile/15E148 Safari/604.1",
        f"{_MOZILLA} (Linux; Android 10; K) {_WEBKIT} Chrome/143.0.0.0 Mobile Safari/537.36",
        f"{_MOZILLA} (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "curl/8.15.0",
        "python-requests/2.32.5",
        "kube-probe/1.34",
        "Go-http-client/2.0",
    ),
    "accept": ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "*/*"),
    "accept-encoding": ("gzip, deflate, br, zstd",),
    "accept-language": ("de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7", "en-US,en;q=0.5"),
    "authorization": ("Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "Basic YnVycjpzZWNyZXQ="),
    "content-type": ("application/json; charset=utf-8", "text/html; charset=utf-8"),
    "referer": ("https://www.example.com/productpage?u=normal",),
    "x-forwarded-for": ("203.0.113.7, 10.4.0.12",),
}


def check(project: Project) -> Iterator[Hit]:
    """Report each header regex that takes parts of real values and none of them whole."""
    for regex in read_regexes(project):
        header = regex.part.removeprefix("header ")
        values = _REAL_VALUES.get(header, ()) if header != regex.part else ()
        unanchored_text = _strip_anchors(regex.text)
        example = next(
            (value for value in values if regexes.matches_part(unanchored_text, value)), None
        )
        if example and not any(regexes.matches_whole(regex.text, value) for value in values):
            yield _build_hit(regex, example)


def _strip_anchors(text: str) -> str:
    """Return a regex without anchors at its ends."""
    return text.removeprefix("^").removesuffix("$")


def _build_hit(regex: StringMatch, example: str) -> Hit:
    """Build the hit for a regex that takes a part of `example` and not all of it."""
    unanchored_text = _strip_anchors(regex.text)
    if regexes.split_atoms(unanchored_text) is None:
        unanchored_text = f"({unanchored_text})"
    is_at_start = regex.text.startswith("^") and regexes.matches_part(
        f"^{unanchored_text}", example
    )
    excerpt = example if len(example) < 60 else f"{example[:57]}..."
    return Hit(
        regex.at,
        f"{regex.part}: regex '{regex.text}' has to match the whole value, such as '{excerpt}'",
        f"{unanchored_text}.*" if is_at_start else f".*{unanchored_text}.*",
    )
