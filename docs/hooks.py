"""Hooks of mkdocs.yml: links that hold in the repository hold on the site, too."""

from __future__ import annotations

from typing import Any

#: The pages of the lint codes; `python docs/make.py` writes their copies to docs/lint/.
_LINT_PAGES = "src/meshproof/lint/pages/"


def on_page_markdown(markdown: str, *, page: Any, **_: object) -> str:
    """Point links to the pages of the lint codes to their copies."""
    up = "../" * page.file.src_uri.count("/")
    return markdown.replace(f"]({up}../{_LINT_PAGES}", f"]({up}lint/")
