"""Makes what is made of the lint pages: `python docs/make.py`.

The pages in `src/meshproof/lint/pages/` get their index, `README.md`, which a test holds against
them. Without front matter, for a site, they are written to `docs/lint/`, which git ignores.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from meshproof.lint import Page, load_checks, read_page
from meshproof.lint.engine import ignore_comments
from meshproof.lint.engine.page import PAGES_FOLDER

SITE_FOLDER = Path(__file__).parent / "lint"
INDEX_NAME = "README.md"


def read_pages() -> list[Page]:
    """Return the page of every code, in the order of the codes."""
    codes = (ignore_comments.CODE, *(check.code for check in load_checks()))
    return [read_page(code) for code in codes]


def render_index(pages: Iterable[Page], docs: str) -> str:
    """Return the index; `docs` is the path to the folder `docs` from where it stands."""
    rows = [f"| [{page.code}]({page.code}.md) | {page.level} | {page.title} |" for page in pages]
    return "\n".join(
        (
            "# What `meshproof lint` says",
            "",
            "One page for each code; its two examples are the test of its check. "
            "`meshproof lint --explain CODE` prints the same page. What `istioctl analyze` says of "
            f"the same things: [side by side]({docs}/istioctl-analyze.md). `python docs/make.py` "
            "makes this index.",
            "",
            "| code | level | |",
            "| --- | --- | --- |",
            *rows,
            "",
        )
    )


def render_site_page(page: Page) -> str:
    """Return a page with a headline in place of its front matter."""
    return "\n".join(
        (
            f"# {page.code}: {page.title}",
            "",
            f"Level: {page.level}. [All codes]({INDEX_NAME})",
            "",
            page.text,
            "",
            "## Bad",
            "",
            f"```yaml\n{page.bad}```",
            "",
            "## Good",
            "",
            f"```yaml\n{page.good}```",
            "",
        )
    )


def main() -> None:
    """Write the index and the folder `docs/lint/`; a file there that has no page is removed."""
    pages = read_pages()
    (PAGES_FOLDER / INDEX_NAME).write_text(
        render_index(pages, "../../../../docs"), encoding="utf-8"
    )
    texts = {f"{page.code}.md": render_site_page(page) for page in pages}
    texts[INDEX_NAME] = render_index(pages, "..")
    SITE_FOLDER.mkdir(exist_ok=True)
    for file in SITE_FOLDER.glob("*.md"):
        if file.name not in texts:
            file.unlink()
    for name, text in texts.items():
        (SITE_FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
