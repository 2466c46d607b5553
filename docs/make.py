"""Makes docs/lint/ from the docstrings of the lint checks: `python docs/make.py`.

A test holds what is in the folder against what this makes.
"""

from __future__ import annotations

from pathlib import Path

from meshproof.lint import Page, load_check_modules, read_page
from meshproof.lint.engine import ignore_comments

FOLDER = Path(__file__).parent / "lint"
INDEX = "README.md"


def pages() -> dict[str, str]:
    """Return the text of every file of docs/lint/, by its name."""
    found = [read_page(module) for module in (ignore_comments, *load_check_modules())]
    return {INDEX: _index(found), **{f"{one.code}.md": _page(one) for one in found}}


def _index(found: list[Page]) -> str:
    rows = [f"| [{one.code}]({one.code}.md) | {one.level} | {one.title} |" for one in found]
    return "\n".join(
        (
            "# What `meshproof lint` says",
            "",
            "One page for each code, made from the check's own docstring by `docs/make.py`; its "
            "two examples are its test. `meshproof lint --explain CODE` prints the same page. What "
            "`istioctl analyze` says of the same things: [side by side](../istioctl-analyze.md).",
            "",
            "| code | level | |",
            "| --- | --- | --- |",
            *rows,
            "",
        )
    )


def _page(one: Page) -> str:
    return "\n".join(
        (
            f"# {one.code}: {one.title}",
            "",
            f"Level: {one.level}. [All codes]({INDEX})",
            "",
            one.text,
            "",
            "## Bad",
            "",
            f"```yaml\n{one.bad}```",
            "",
            "## Good",
            "",
            f"```yaml\n{one.good}```",
            "",
        )
    )


def main() -> None:
    """Write the folder; a page whose code is gone goes."""
    made = pages()
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
