"""Every code's page is its test: the bad example gives this code alone, the good one nothing."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections import Counter

import pytest

from meshproof.documents.sources import parse_sources
from meshproof.lint import Check, Finding, Page, lint, load_checks, read_page
from meshproof.lint.checks.shape_defects import SHAPE_CHECKS
from meshproof.lint.engine import ignore_comments
from meshproof.lint.engine.page import PAGES_FOLDER

#: The code of a removed kind: it is found wherever a page shows a RouteRule.
REMOVED = "MP0204"


def _format_id(check: Check) -> str:
    title = read_page(check.code).title
    return f"{check.code} {title[0].lower()}{title[1:]}"


@pytest.fixture(params=load_checks(), ids=_format_id)
def check(request: pytest.FixtureRequest) -> Check:
    check: Check = request.param
    return check


@pytest.fixture
def page(check: Check) -> Page:
    return read_page(check.code)


def _lint_example(text: str, suppress: set[str]) -> list[Finding]:
    sources = parse_sources(text, "example.yaml")
    return lint(sources.documents, suppress, sources.unreadable, sources.templates)


def test_bad_example_gives_this_code_alone(page: Page) -> None:
    findings = _lint_example(page.bad, {REMOVED} - {page.code})
    assert {finding.code for finding in findings} == {page.code}, "\n".join(map(str, findings))


def test_bad_example_says_where_and_what_to_do(page: Page) -> None:
    lines = page.bad.splitlines()
    for finding in _lint_example(page.bad, {REMOVED} - {page.code}):
        assert finding.level is page.level
        assert finding.at.file == "example.yaml"
        assert 1 <= finding.at.line <= len(lines) + 1
        assert finding.message
        assert not finding.message.endswith(".")
        assert "\n" not in finding.suggestion


def test_good_example_gives_nothing(page: Page) -> None:
    assert _lint_example(page.good, set()) == []


def test_page_says_what_and_why(page: Page) -> None:
    assert page.title
    assert not page.title.endswith(".")
    assert re.search(r"^Why: ", page.text, re.M), "the page does not say why it matters"
    assert page.text.index("Why: ") > 0, "the page does not say what it means"


def test_module_is_named_by_its_code(check: Check) -> None:
    module = check.run.__module__.rpartition(".")[2]
    assert module.startswith(f"{check.code.lower()}_") or (
        module == "shape_defects" and check.code in SHAPE_CHECKS
    )


def test_check_says_what_it_reports(check: Check) -> None:
    assert inspect.getdoc(check.run)


def test_codes_are_unique() -> None:
    counted = Counter(check.code for check in load_checks())
    assert [code for code, times in counted.items() if times > 1] == []


def test_every_page_is_of_a_code() -> None:
    codes = [ignore_comments.CODE, *(check.code for check in load_checks())]
    assert sorted(file.stem for file in PAGES_FOLDER.glob("MP*")) == codes


def test_titles_are_unique() -> None:
    counted = Counter(read_page(check.code).title.lower() for check in load_checks())
    assert [title for title, times in counted.items() if times > 1] == []


def test_a_suppressed_code_is_left_out(check: Check, page: Page) -> None:
    findings = _lint_example(page.bad, {check.code, REMOVED})
    assert check.code not in {finding.code for finding in findings}


def test_functions_are_short(check: Check) -> None:
    source = inspect.getsource(sys.modules[check.run.__module__])
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 40, node.name
