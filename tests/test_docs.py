"""What the documentation shows is so: commands, options, files, links, and what is generated."""

from __future__ import annotations

import argparse
import ast
import json
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from meshproof import cli, lint
from meshproof.base import errors
from meshproof.options.table import OPTIONS, RUN_OPTIONS
from meshproof.run import record
from tests import ROOT

DOCS = ROOT / "docs"
GENERATE = runpy.run_path(str(DOCS / "generate.py"))
#: `python docs/make.py` makes these for the site; tests/lint/test_docs.py holds them.
MADE = DOCS / "lint"
PAGES = sorted(
    page
    for page in (*ROOT.glob("*.md"), *DOCS.rglob("*.md"))
    if MADE not in page.parents and page.name != "CHANGELOG.md"
)
GENERATED_PAGES = [page for page in PAGES if "<!-- generated: " in page.read_text("utf-8")]
FENCE = re.compile(r"^```(?P<language>\w+)(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.M | re.S)
#: The folder of examples that are wrong on purpose.
MISTAKE = "mistake"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


pages = pytest.mark.parametrize("page", PAGES, ids=name_of)


class Block(NamedTuple):
    language: str
    title: str
    text: str


def blocks_of(page: Path, language: str) -> list[Block]:
    found = FENCE.finditer(page.read_text("utf-8"))
    blocks = [
        Block(block["language"], block["info"].partition('"')[2].rstrip('"'), block["text"])
        for block in found
    ]
    return [block for block in blocks if block.language == language]


@cache
def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command, `mesh up` and the like among them."""
    found: dict[str, argparse.ArgumentParser] = {}
    for name in GENERATE["COMMANDS"]:
        top = _subparsers(cli._build_parser(name))[name]
        found[name] = top
        found |= {f"{name} {action}": parser for action, parser in _subparsers(top).items()}
    return found


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (choices,) = [
        dict(action.choices)
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
    ] or [{}]
    return choices


@cache
def pytest_options() -> set[str]:
    """Return the options that pytest itself tells, ours among them."""
    command = [sys.executable, "-m", "pytest", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", text))


def mesh_options() -> set[str]:
    return {name for name in pytest_options() if name.startswith("--mesh")}


def command_lines(page: Path) -> Iterator[str]:
    """Yield each piece of code that begins with a command of ours, up to a pipe or the like."""
    text = page.read_text("utf-8")
    code = re.findall(r"^ {4}(.*)$", text, re.M)
    code += [line for block in FENCE.finditer(text) for line in block["text"].splitlines()]
    code += re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    for line in code:
        for piece in re.split(r"\s*(?:\\?\||&&|;)\s*", line):
            words = piece.removeprefix("$ ").removeprefix("- run: ")
            if re.match(r"(meshproof|pytest) [a-z-]", words):
                yield words


def split(line: str) -> list[str]:
    """Return the words of a command line without its comment and what it reads and writes."""
    return re.split(r"\s+[<>]|\.\.\.", shlex.join(shlex.split(line, comments=True)))[0].split()


def test_there_are_pages_of_every_purpose() -> None:
    for folder in ("tutorial", "guides", "reference", "explanation"):
        assert len(list((DOCS / folder).glob("*.md"))) >= 2
    assert len(PAGES) > 20


@pytest.mark.parametrize("page", GENERATED_PAGES, ids=name_of)
def test_what_is_generated_is_up_to_date(page: Path) -> None:
    text = page.read_text("utf-8")
    assert GENERATE["fill"](text) == text, "run: python docs/generate.py"


def test_the_schema_of_the_record_is_up_to_date() -> None:
    schema = json.loads((DOCS / "reference" / "run.schema.json").read_text("utf-8"))
    assert GENERATE["build_run_schema"]() == schema, "run: python docs/generate.py"


def test_the_generator_says_which_page_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main = GENERATE["main"]
    monkeypatch.setitem(main.__globals__, "DOCS", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("<!-- generated: exit codes -->\n0 green\n<!-- end -->\n")
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    assert main() == 1
    assert "page.md is stale" in capsys.readouterr().out
    assert "0 green" in page.read_text()
    monkeypatch.setattr(sys, "argv", ["generate.py"])
    assert main() == 0
    assert "| 0 | passed |" in page.read_text()
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    assert main() == 0


def test_every_generated_kind_is_on_a_page() -> None:
    shown = {
        kind
        for page in GENERATED_PAGES
        for kind in re.findall(r"<!-- generated: (.+?) -->", page.read_text("utf-8"))
    }
    assert set(GENERATE["RENDERERS"]) <= shown
    assert any(kind.startswith("output ") for kind in shown)


def test_the_options_are_those_that_pytest_has() -> None:
    assert {option.mesh_flag for option in RUN_OPTIONS} == mesh_options()


def test_every_option_has_its_row() -> None:
    page = (DOCS / "reference" / "options.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w-]+)`", page, re.M)
    assert sorted(rows) == sorted(option.name for option in OPTIONS)


def test_every_command_is_generated() -> None:
    assert set(GENERATE["COMMANDS"]) == set(cli._COMMANDS)


def test_the_exit_codes_are_those_of_the_code() -> None:
    page = (DOCS / "reference" / "exit-codes.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", page, re.M)
    assert {int(code): meaning for code, meaning in rows} == errors.EXIT_CODES
    order = ", ".join(str(code) for code in errors.PRECEDENCE)
    assert f"the first of these counts: {order}." in page


def test_the_report_formats_are_those_of_the_code() -> None:
    page = (DOCS / "reference" / "report.md").read_text("utf-8")
    told = re.findall(r"^\| `\w+\.\w+` \| `(\w+)` \| ", page, re.M)
    assert {*told, "console"} == set(record.formats())


@pages
def test_every_command_shown_exists(page: Path) -> None:
    for line in command_lines(page):
        program, *words = split(line)
        if program == "pytest":
            unknown = {word.partition("=")[0] for word in words if word.startswith("-")}
            assert unknown - pytest_options() == set(), line
            continue
        if words[0] in ("--help", "--version"):
            continue
        assert words[0] in parsers(), line
        action = " ".join(words[:2])
        parser = parsers().get(action, parsers()[words[0]])
        known = {name for option in parser._actions for name in option.option_strings}
        if words[0] == "test":
            known |= mesh_options() | pytest_options()
        given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert given - known == set(), line


@pages
def test_every_option_shown_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    ours = {name for parser in parsers().values() for name in parser._option_string_actions}
    assert set(re.findall(r"(?<![\w-])--mesh[\w-]*(?<!-)", text)) <= mesh_options() | ours


@pages
def test_every_link_leads_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text("utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.M)
            assert anchor in {_anchor(heading) for heading in headings}, link


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pages
def test_yaml_is_yaml_and_rules_lint_clean(page: Path, tmp_path: Path) -> None:
    blocks = blocks_of(page, "yaml")
    assert all(list(yaml.safe_load_all(block.text)) for block in blocks)
    folders: dict[Path, list[Path]] = {}
    for number, block in enumerate(blocks):
        if "apiVersion:" in block.text:
            file = tmp_path / (block.title or f"untitled-{number}/rules.yaml")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)
            folders.setdefault(file.parent, []).append(file)
    good = [file for folder, files in folders.items() if folder.name != MISTAKE for file in files]
    for folder, files in folders.items():
        read = [str(file) for file in files]
        if folder.name == MISTAKE:  # a file of it stands in the place of the good one of its name
            read += [str(file) for file in good if file.name not in {file.name for file in files}]
        # What `convert` turns is of versions of which lint says that they are gone.
        old = ["--suppress", "MP0204"] if page.name == "convert.md" else []
        code = cli.main(["lint", *read, *old])
        expected = errors.EXIT_FINDINGS if folder.name == MISTAKE else errors.EXIT_PASSED
        assert code == expected, folder


@pages
def test_python_compiles(page: Path) -> None:
    for block in blocks_of(page, "python"):
        ast.parse(block.text)


@pages
def test_no_path_of_somebodys_machine_is_named(page: Path) -> None:
    assert not re.search(r"(?<![\w.~])/(work|tmp|root|home|Users)/", page.read_text("utf-8"))


def test_every_lint_code_named_is_a_code() -> None:
    codes = {"MP0001", *(check.code for check in lint.load_checks())}
    for page in PAGES:
        assert set(re.findall(r"\bMP\d{4}\b", page.read_text("utf-8"))) <= codes, page


def test_every_page_is_in_the_navigation_once() -> None:
    site: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    listed = [name for entry in site["nav"] for name in _flatten(entry)]
    there = {str(page.relative_to(DOCS)) for page in PAGES if page.is_relative_to(DOCS)}
    assert sorted(listed) == sorted({*there, "lint/README.md"})
    assert site["strict"] is True


def _flatten(entry: Any) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    return [name for value in entry.values() for item in value for name in _flatten(item)]


def test_the_map_of_the_docs_leads_to_every_page() -> None:
    text = (DOCS / "README.md").read_text("utf-8")
    linked = {(DOCS / link).resolve() for link in re.findall(r"\]\(([^)#]+)\)", text)}
    assert {page for page in PAGES if DOCS in page.parents} - {DOCS / "README.md"} <= linked


@pytest.mark.local
def test_the_tutorial_is_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    page = (DOCS / "tutorial" / "first-rules.md").read_text("utf-8")
    GENERATE["write_files"](page, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    command = [sys.executable, "-m", "meshproof", "test", "--rules", "k8s"]
    good = subprocess.run(command, capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stdout + good.stderr
    shown = re.findall(r"^  \+ (.+?) +(\d+ cases +:\d+)$", page, re.M)
    assert shown
    printed = re.findall(r"^  \+ (.+?) +(\d+ cases +:\d+)$", good.stdout, re.M)
    assert printed == shown
    (summary,) = re.findall(r"^Passed: \d+ of \d+ promises are kept", page, re.M)
    assert summary in good.stdout
    shop = tmp_path / "k8s" / "shop.yaml"
    mistaken = shop.read_text().replace(
        "name: v2, labels: {version: v2}", "name: v2, labels: {version: v3}"
    )
    assert mistaken != shop.read_text()
    shop.write_text(mistaken)
    bad = subprocess.run(command, capture_output=True, text=True, check=False)
    assert bad.returncode == errors.EXIT_FAILED
    (case, answer) = re.findall(r"^x (.+?)  failed .*\n +(.+)$", page, re.M)[0]
    assert f"x {case}" in bad.stdout
    assert answer in bad.stdout
