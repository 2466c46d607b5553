"""Reads the page of a code, `pages/MPNNNN.md`: front matter, text, a bad and a good example."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from meshproof.documents.parser import parse_values
from meshproof.lint.engine.finding import Level

PAGES_FOLDER = Path(__file__).parents[1] / "pages"

_PAGE = re.compile(
    r"---\n(?P<front_matter>.*?)---\n\n(?P<text>.*?)\n\n"
    r"## Bad\n\n```yaml\n(?P<bad>.*?)```\n\n"
    r"## Good\n\n```yaml\n(?P<good>.*?)```\n",
    re.S,
)
_FIELDS = ["code", "level", "title"]


@dataclass(frozen=True)
class Page:
    """The doc page of a code: its title, its text, one bad and one good example in YAML."""

    code: str
    level: Level
    title: str
    text: str
    bad: str
    good: str


@cache
def read_page(code: str) -> Page:
    """Return the page of a code. Raises ValueError when it lacks a part or is of another code."""
    file = PAGES_FOLDER / f"{code}.md"
    page = _PAGE.fullmatch(file.read_text(encoding="utf-8"))
    if page is None:
        raise ValueError(f"{file.name}: needs front matter, text, ## Bad and ## Good with ```yaml")
    (front_matter,) = parse_values(page["front_matter"], file.name)
    fields = front_matter.text_mapping()
    if list(fields) != _FIELDS or fields["code"] != code:
        raise ValueError(f"{file.name}: the front matter needs {', '.join(_FIELDS)} of {code}")
    level = Level(fields["level"])
    return Page(code, level, fields["title"], page["text"], page["bad"], page["good"])
