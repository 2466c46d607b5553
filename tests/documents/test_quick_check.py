"""The quick look at a document agrees with the walk: what it lets pass has no defect at all."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshproof.base.errors import BadRules
from meshproof.documents.form.identity import identify_document
from meshproof.documents.form.quick_check import fits_shape
from meshproof.documents.form.walk import _Walk
from meshproof.documents.manifest import Document, parse
from meshproof.lint import Page, load_checks, read_page

MANIFESTS = Path(str(files("meshproof.manifests")))
SHIPPED = [path.read_text() for path in sorted(MANIFESTS.rglob("*.yaml"))]
PAGES = [read_page(check.code) for check in load_checks()]
EXAMPLES = [example for page in PAGES for example in (page.bad, page.good)]
#: Every line of an example is a word to put in the place of another.
LINES = sorted({line for text in EXAMPLES for line in text.splitlines()})


def documents(text: str) -> list[Document]:
    try:
        return parse(text, "f.yaml")
    except BadRules:
        return []


def check_agreement(document: Document) -> bool:
    """Hold the two against each other; say whether the document passed at the first look."""
    identity = identify_document(document.root)
    if identity.kind is None or not fits_shape(identity.root, identity.kind.root):
        return False
    walk = _Walk(identity.kind)
    assert walk.check_mapping(identity.root, identity.kind.root, None) is identity.root
    assert walk.defects == []
    return True


@pytest.mark.parametrize("described", PAGES, ids=lambda page: page.code)
def test_examples(described: Page) -> None:
    assert [
        check_agreement(document)
        for text in (described.bad, described.good)
        for document in documents(text)
    ]


def test_what_is_right_passes_at_the_first_look() -> None:
    """Else nothing would be quick: of the documents that are shipped, and of good examples."""
    shipped = [check_agreement(document) for text in SHIPPED for document in documents(text)]
    good = [check_agreement(document) for page in PAGES for document in documents(page.good)]
    assert sum(shipped) > 0.8 * len(shipped)
    assert sum(good) > 0.8 * len(good)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_an_example_with_a_few_edits(data: st.DataObject) -> None:
    lines = data.draw(st.sampled_from(EXAMPLES)).splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        index = data.draw(st.integers(0, len(lines) - 1))
        edit = st.sampled_from(LINES) | st.just("") | st.just(lines[index].partition(":")[0] + ":")
        lines[index] = data.draw(edit | st.sampled_from(lines))
    for document in documents("\n".join(lines)):
        check_agreement(document)
