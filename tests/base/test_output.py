from __future__ import annotations

import json

import pytest

from meshproof.base import errors, output
from meshproof.base.escaping import escape_line, escape_text
from tests.obeyed import PLANTED, find_obeyed


def test_a_line_stays_one_line() -> None:
    escaped = escape_line(PLANTED)
    assert find_obeyed(escaped) == []
    assert len(escaped.splitlines()) == 1
    assert escaped.startswith(r"evil\x1b[31m\x1b]0;t\x07\r\u202e\u2028\x85\n::error::b")


def test_a_text_keeps_its_lines_and_has_no_command() -> None:
    escaped = escape_text(PLANTED)
    assert find_obeyed(escaped) == []
    assert escaped.split("\n")[1:] == [
        r"\x3a:error::b",
        r" \x3a:add::c",
        r"\x23#vso[x] \x23#[e]",
    ]


@pytest.mark.parametrize(
    "text",
    ["reviews: v1 50 %, é 日本 ✓ 😀", "a::b", "http://[::1]:80", "# comment", "a\tb\nc", "  | ^"],
)
def test_other_text_stays(text: str) -> None:
    assert escape_text(text) == text


@pytest.mark.parametrize("escape", [escape_line, escape_text])
def test_escaping_twice_changes_nothing_more(escape: type[str]) -> None:
    assert escape(escape(PLANTED)) == escape(PLANTED)


def test_json_keeps_its_value_and_has_no_command() -> None:
    encoded = output.encode_json({"name": PLANTED})
    assert find_obeyed(encoded) == []
    assert json.loads(encoded) == {"name": PLANTED}


@pytest.mark.parametrize(
    "error", [errors.UsageError(PLANTED), errors.Inconclusive("x", PLANTED, PLANTED)]
)
def test_no_error_of_ours_is_obeyed(error: errors.MeshproofError) -> None:
    assert "evil" in str(error)
    assert find_obeyed(str(error)) == []


def test_every_writer_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_line(PLANTED)
    output.write(PLANTED)
    output.print_json(PLANTED)
    output.print_message(PLANTED)
    written = capsys.readouterr()
    assert written.out.count("evil") == 3
    assert "evil" in written.err
    assert find_obeyed(written.out + written.err) == []
