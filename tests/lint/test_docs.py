"""The pages of docs/ are what the checks' docstrings make of them."""

from __future__ import annotations

import runpy

from tests import ROOT

DOCS = ROOT / "docs"
MADE: dict[str, str] = runpy.run_path(str(DOCS / "make.py"))["pages"]()


def test_every_page_is_up_to_date() -> None:
    there = {file.name: file.read_text(encoding="utf-8") for file in (DOCS / "lint").iterdir()}
    assert sorted(there) == sorted(MADE), "run: python docs/make.py"
    old = [name for name in MADE if there[name] != MADE[name]]
    assert not old, "run: python docs/make.py"


def test_the_index_leads_to_every_page() -> None:
    for name in MADE:
        assert name == "README.md" or f"]({name})" in MADE["README.md"]


def test_a_page_has_what_the_docstring_has() -> None:
    text = MADE["MP0301.md"]
    assert text.startswith("# MP0301: Route that is shadowed\n\nLevel: warning.")
    assert "\nWhy: " in text
    assert text.count("```yaml\napiVersion: networking.istio.io/v1\n") == 2
    assert text.index("## Bad") < text.index("## Good")
