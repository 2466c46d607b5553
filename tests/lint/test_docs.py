"""What docs/make.py makes of the lint pages: their index, and docs/lint/, which git ignores."""

from __future__ import annotations

import runpy

from meshproof.lint import read_page
from meshproof.lint.engine.page import PAGES_FOLDER
from tests import ROOT

MAKE = runpy.run_path(str(ROOT / "docs" / "make.py"))
INDEX = (PAGES_FOLDER / "README.md").read_text(encoding="utf-8")
DOCS = "../../../../docs"


def test_the_index_is_up_to_date() -> None:
    index = MAKE["render_index"](MAKE["read_pages"](), DOCS)
    assert index == INDEX, "run: python docs/make.py"


def test_the_index_leads_to_every_page() -> None:
    for page in PAGES_FOLDER.glob("MP*.md"):
        assert f"]({page.name})" in INDEX


def test_the_index_leads_to_istioctl() -> None:
    link = f"{DOCS}/istioctl-analyze.md"
    assert f"]({link})" in INDEX
    assert (PAGES_FOLDER / link).is_file()


def test_a_page_of_the_site_has_what_the_page_has() -> None:
    text: str = MAKE["render_site_page"](read_page("MP0301"))
    assert text.startswith("# MP0301: Route that is shadowed\n\nLevel: warning.")
    assert "\nWhy: " in text
    assert text.count("```yaml\napiVersion: networking.istio.io/v1\n") == 2
    assert text.index("## Bad") < text.index("## Good")
