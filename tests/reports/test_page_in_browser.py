"""index.html in headless Chromium: as people see it, and as axe-core judges it.

Needs Debian's chromium and playwright, axe-core's axe.min.js as MESHPROOF_AXE names it; what is not
there is named in the reason of the skip. `tox -e browser` brings playwright.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from meshproof.base.place import Place
from meshproof.reports import html
from meshproof.run.record import Run

WIDTHS = (400, 800, 1600)
SCHEMES = ("light", "dark")
OPEN_ALL = "document.querySelectorAll('details').forEach(one => one.open = true)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium on this machine (apt-get install chromium)")
    if find_spec("playwright") is None:
        pytest.skip("playwright is not installed")
    with import_module("playwright.sync_api").sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox"] if os.getuid() == 0 else [],  # Chromium refuses root without
        )
        yield browser
        browser.close()


def open_page(browser: Any, run: Run, folder: Path, **options: Any) -> tuple[Any, list[str]]:
    """Return the page of a run in the browser, and a list that gets what its console says."""
    html.Writer(folder).ended(run)
    page = browser.new_page(**options)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on(
        "request", lambda request: said.append(request.url) if "file:" not in request.url else 0
    )
    page.goto(f"file://{folder}/index.html")
    return page, said


@pytest.mark.parametrize("name", ["mixed_run", "empty_run", "hostile_run"])
def test_it_fits_each_width_and_says_nothing_in_the_console(
    browser: Any, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    run = request.getfixturevalue(name)
    for width in WIDTHS:
        page, said = open_page(browser, run, tmp_path, viewport={"width": width, "height": 800})
        page.evaluate(OPEN_ALL)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert said == []


def test_long_names_fit(browser: Any, mixed_run: Run, tmp_path: Path) -> None:
    results = [
        replace(one, rule=Place(f"{'deep/' * 60}{number}.yaml", 3), rule_text=f"- {'x' * 3000}")
        for number, one in enumerate(mixed_run.results)
    ]
    run = replace(mixed_run, results=results)
    page, _ = open_page(browser, run, tmp_path, viewport={"width": 400, "height": 800})
    page.evaluate(OPEN_ALL)
    assert page.locator("select[name=file]").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_no_violation(browser: Any, scheme: str, mixed_run: Run, tmp_path: Path) -> None:
    axe = os.environ.get("MESHPROOF_AXE", "")
    if not axe:
        pytest.skip("MESHPROOF_AXE does not name axe-core's axe.min.js (npm pack axe-core)")
    for width in WIDTHS:
        page, _ = open_page(
            browser,
            mixed_run,
            tmp_path,
            viewport={"width": width, "height": 800},
            color_scheme=scheme,
        )
        page.evaluate(OPEN_ALL)
        page.add_script_tag(path=axe)
        result = page.evaluate("axe.run()")
        assert result["passes"]
        assert [(found["id"], found["nodes"][0]["html"]) for found in result["violations"]] == []


def test_filters_show_what_fits(browser: Any, mixed_run: Run, tmp_path: Path) -> None:
    page, said = open_page(browser, mixed_run, tmp_path)
    shown = page.locator(".promise[data-outcome]:visible")
    total = len(mixed_run.results)
    assert shown.count() == total
    page.select_option("select[name=outcome]", "failed")
    assert shown.count() == 2
    assert page.locator("output").inner_text() == f"2 of {total} shown"
    page.fill("input[name=words]", "routerule split")
    assert shown.count() == 1
    page.select_option("select[name=outcome]", "")
    page.fill("input[name=words]", "")
    page.select_option("select[name=file]", "manifests/rules/v3_only/v1.yaml")
    assert shown.count() == 1
    assert said == []


def test_an_anchor_opens_its_promise(browser: Any, mixed_run: Run, tmp_path: Path) -> None:
    page, _ = open_page(browser, mixed_run, tmp_path)
    is_open = "document.getElementById('promise-1').open"
    assert page.evaluate(is_open) is False
    page.evaluate("location.hash = '#promise-1'")
    page.wait_for_function(is_open)
    assert page.locator("#promise-1 svg").first.is_visible()


def test_it_is_whole_without_javascript(browser: Any, mixed_run: Run, tmp_path: Path) -> None:
    page, _ = open_page(browser, mixed_run, tmp_path, java_script_enabled=False)
    assert not page.locator("form").is_visible()
    assert page.locator(".promise[data-outcome]:visible").count() == len(mixed_run.results)
    page.locator("#promise-1 summary").click()
    assert page.locator("#promise-1 table").is_visible()
