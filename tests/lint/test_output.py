"""Findings as text and as JSON."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from meshproof.documents.manifest import STDIN_NAME, At, parse
from meshproof.documents.sources import SourceFiles
from meshproof.lint import Finding, Level
from meshproof.lint.engine import output

TEXT = "kind: A\nmetadata: {name: a}\nspec: {hosts: [reviews]}\n"
ONE = Finding(At("a.yaml", 3, 15), "MP0301", Level.WARNING, "it is shadowed", "move it")


@pytest.fixture
def reading() -> SourceFiles:
    return SourceFiles(parse(TEXT, "a.yaml"), [], {"a.yaml": TEXT})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def as_text(findings: list[Finding], reading: SourceFiles) -> str:
    return "".join(part for part, _ in output.render_text(findings, reading))


def test_a_finding_has_its_line_a_caret_and_a_repair(reading: SourceFiles) -> None:
    assert as_text([ONE], reading) == (
        "a.yaml:3:15: warning MP0301: it is shadowed\n"
        "  3 | spec: {hosts: [reviews]}\n"
        "    |               ^\n"
        "    = move it\n"
        "1 warning. Checked: 1 object in 1 file.\n"
    )


def test_the_last_line_counts(reading: SourceFiles) -> None:
    assert as_text([], reading) == "Nothing found in 1 object in 1 file.\n"
    levels = [Level.ERROR, Level.ERROR, Level.INFO]
    findings = [replace(ONE, level=level) for level in levels]
    assert as_text(findings, reading).endswith("\n2 errors, 1 info. Checked: 1 object in 1 file.\n")


def test_a_finding_without_source_or_repair_is_one_line(reading: SourceFiles) -> None:
    without_source = Finding(At("gone.yaml", 1), "MP0100", Level.ERROR, "cannot be read")
    beyond = replace(ONE, at=At("a.yaml", 99), suggestion="")
    for finding in (without_source, beyond):
        assert as_text([finding], reading).count("\n") == 2


def test_what_a_file_holds_does_nothing_to_the_terminal(reading: SourceFiles) -> None:
    evil = "\x1b[2J\u202e\x07\t"
    text = TEXT.replace("reviews", evil)
    reading = SourceFiles([], [], {f"{evil}.yaml": text})
    at = At(f"{evil}.yaml", 3, 15)
    rendered = as_text([replace(ONE, at=at, message=evil, suggestion=evil)], reading)
    assert all(character.isprintable() or character == "\n" for character in rendered)


@pytest.mark.parametrize("column", [1, 50, 100, 500, 999, 1000])
def test_a_long_line_is_cut_around_the_caret(column: int) -> None:
    line = "".join(chr(ord("a") + index % 26) for index in range(1000))
    reading = SourceFiles([], [], {"a.yaml": line})
    lines = as_text([replace(ONE, at=At("a.yaml", 1, column))], reading).splitlines()
    source, caret = lines[1][6:], lines[2][6:]
    assert len(source) <= 126
    assert source[caret.index("^")] == line[column - 1]


def test_colour_is_only_for_terminals(
    reading: SourceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    file, terminal = io.StringIO(), Terminal()
    output.write_parts(output.render_text([ONE], reading), file)
    output.write_parts(output.render_text([ONE], reading), terminal)
    assert file.getvalue() == as_text([ONE], reading)
    assert "\x1b[1;33mwarning MP0301" in terminal.getvalue()
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        monkeypatch.setenv(name, value)
        plain = Terminal()
        output.write_parts(output.render_text([ONE], reading), plain)
        assert plain.getvalue() == as_text([ONE], reading)
        monkeypatch.delenv(name)


def test_markup_in_a_message_is_text(reading: SourceFiles) -> None:
    terminal = Terminal()
    output.write_parts(
        output.render_text([replace(ONE, message="[red]a[/red] [x]")], reading), terminal
    )
    assert "[red]a[/red] [x]" in terminal.getvalue()


def test_json_is_a_list_of_objects() -> None:
    stdin = replace(ONE, at=At(STDIN_NAME, 1))
    assert json.loads(output.render_json([ONE, stdin])) == [
        {
            "code": "MP0301",
            "level": "warning",
            "file": "a.yaml",
            "line": 3,
            "column": 15,
            "message": "it is shadowed",
            "suggestion": "move it",
        },
        {
            "code": "MP0301",
            "level": "warning",
            "file": "<stdin>",
            "line": 1,
            "column": 1,
            "message": "it is shadowed",
            "suggestion": "move it",
        },
    ]
    assert output.render_json([]) == "[]"


def test_json_takes_any_file_name() -> None:
    strange = replace(ONE, at=At("a\udce4\n.yaml", 1))
    assert json.loads(output.render_json([strange]))[0]["file"] == "a\udce4\n.yaml"
