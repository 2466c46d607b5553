"""Every code's page is its test: the bad example gives this code alone, the good one nothing."""

from __future__ import annotations

import ast
import inspect
import re
from collections import Counter
from types import ModuleType

import pytest

from meshproof.base.errors import BadRules
from meshproof.documents.manifest import Document, parse
from meshproof.lint import Finding, Hit, Page, lint, load_check_modules, read_page
from meshproof.lint.checks.mp0100_unreadable import hit

#: The code of a removed kind: it is found wherever a page shows a RouteRule.
REMOVED = "MP0204"


def _title(module: ModuleType) -> str:
    title = read_page(module).title
    return f"{module.CODE} {title[0].lower()}{title[1:]}"


@pytest.fixture(params=load_check_modules(), ids=_title)
def module(request: pytest.FixtureRequest) -> ModuleType:
    found: ModuleType = request.param
    return found


@pytest.fixture
def described(module: ModuleType) -> Page:
    return read_page(module)


def _found(text: str, suppress: set[str]) -> list[Finding]:
    documents: list[Document] = []
    unreadable: list[Hit] = []
    try:
        documents = parse(text, "example.yaml")
    except BadRules as error:
        unreadable = [hit(error, "example.yaml")]
    return lint(documents, suppress, unreadable)


def test_bad_example_gives_this_code_alone(described: Page) -> None:
    found = _found(described.bad, {REMOVED} - {described.code})
    assert {one.code for one in found} == {described.code}, "\n".join(map(str, found))


def test_bad_example_says_where_and_what_to_do(described: Page) -> None:
    lines = described.bad.splitlines()
    for one in _found(described.bad, {REMOVED} - {described.code}):
        assert one.level is described.level
        assert one.at.file == "example.yaml"
        assert 1 <= one.at.line <= len(lines) + 1
        assert one.message
        assert not one.message.endswith(".")
        assert "\n" not in one.suggestion


def test_good_example_gives_nothing(described: Page) -> None:
    assert _found(described.good, set()) == []


def test_page_says_what_and_why(described: Page) -> None:
    assert described.title
    assert not described.title.endswith(".")
    assert re.search(r"^Why: ", described.text, re.M), "the page does not say why it matters"
    assert described.text.index("Why: ") > 0, "the page does not say what it means"


def test_file_is_named_by_its_code(module: ModuleType) -> None:
    assert module.__name__.rpartition(".")[2].startswith(f"{module.CODE.lower()}_")


def test_check_says_what_it_reports(module: ModuleType) -> None:
    assert inspect.getdoc(module.check)


def test_codes_are_unique() -> None:
    counted = Counter(module.CODE for module in load_check_modules())
    assert [code for code, times in counted.items() if times > 1] == []


def test_titles_are_unique() -> None:
    counted = Counter(read_page(module).title.lower() for module in load_check_modules())
    assert [title for title, times in counted.items() if times > 1] == []


def test_a_suppressed_code_is_left_out(module: ModuleType, described: Page) -> None:
    found = _found(described.bad, {module.CODE, REMOVED})
    assert module.CODE not in {one.code for one in found}


def test_functions_are_short(module: ModuleType) -> None:
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 40, node.name
