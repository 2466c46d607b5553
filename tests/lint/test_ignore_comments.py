"""Comments that take findings away, and those that take away nothing."""

from __future__ import annotations

import pytest

from meshproof.documents.manifest import parse
from meshproof.documents.sources import SourceFiles
from meshproof.lint import Finding, lint, load_checks, read_page
from meshproof.lint.engine import ignore_comments

RULE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
spec:
  hosts: [reviews]
  http:
  - match:
    - uri: {prefix: /}
    route: [{destination: {host: reviews}}]
  - route: [{destination: {host: reviews}}]
"""
CATCH_ALL = "    - uri: {prefix: /}\n"
CODES = [ignore_comments.CODE, *(check.code for check in load_checks())]


def lint_text(text: str, left_out: set[str] | None = None) -> list[Finding]:
    reading = SourceFiles(parse(text, "rules.yaml"), [], {"rules.yaml": text})
    hits = lint(reading.documents, left_out or ())
    return ignore_comments.apply_ignore_comments(hits, reading, CODES, left_out or set())


def with_comment(comment: str, above: bool) -> str:
    if above:
        return RULE.replace(CATCH_ALL, f"    {comment}\n{CATCH_ALL}")
    return RULE.replace(CATCH_ALL, f"{CATCH_ALL.rstrip()} {comment}\n")


def test_the_rule_of_these_tests_has_one_finding() -> None:
    assert [(finding.code, finding.at.line) for finding in lint_text(RULE)] == [("MP0304", 9)]


@pytest.mark.parametrize("above", [True, False], ids=["above", "same-line"])
@pytest.mark.parametrize(
    "comment",
    [
        "# meshproof: ignore[MP0304]",
        "#meshproof:ignore[mp0304]",
        "# meshproof: ignore[ MP0304 ] the canary comes later",
        "# see #12 # meshproof: ignore[MP0304]",
    ],
)
def test_a_comment_takes_the_finding_away(comment: str, above: bool) -> None:
    assert lint_text(with_comment(comment, above)) == []


def test_several_comments_may_stand_above_a_line() -> None:
    text = RULE.replace(CATCH_ALL, f"    # meshproof: ignore[MP0304]\n\n    # because\n{CATCH_ALL}")
    assert lint_text(text) == []


def test_a_comment_at_the_end_of_a_line_is_not_for_the_next() -> None:
    text = RULE.replace("  - match:\n", "  - match: # meshproof: ignore[MP0304]\n")
    assert [(finding.code, finding.at.line) for finding in lint_text(text)] == [
        ("MP0001", 8),
        ("MP0304", 9),
    ]


@pytest.mark.parametrize(
    ("codes", "message", "repair"),
    [
        ("[MP0301]", "no MP0301 is here to ignore", "drop the comment"),
        ("[MP0304, MP0301]", "no MP0301 is here to ignore", "drop the comment"),
        ("[MP304]", "there is no code MP304; did you mean 'MP0304'?", "the right code"),
        ("", "this comment names no code", "ignore[MP0301]"),
        ("[]", "this comment names no code", "ignore[MP0301]"),
        ("[MP0100]", "MP0100 cannot be ignored", "drop the comment"),
    ],
)
def test_a_comment_that_takes_away_nothing_is_an_info(
    codes: str, message: str, repair: str
) -> None:
    hits = lint_text(with_comment(f"# meshproof: ignore{codes}", above=True))
    (idle_finding,) = [finding for finding in hits if finding.code != "MP0304"]
    assert (
        idle_finding.code,
        idle_finding.level,
        idle_finding.at.line,
        idle_finding.at.column,
    ) == ("MP0001", "info", 9, 5)
    assert message in idle_finding.message
    assert repair in idle_finding.suggestion


def test_a_comment_for_a_suppressed_code_is_not_idle() -> None:
    text = with_comment("# meshproof: ignore[MP0304]", above=True)
    assert lint_text(text, {"MP0304"}) == []


def test_idle_comments_can_be_suppressed() -> None:
    text = with_comment("# meshproof: ignore[MP0301]", above=True)
    assert [finding.code for finding in lint_text(text, {"MP0001"})] == ["MP0304"]


def test_words_in_a_text_are_no_comment() -> None:
    text = RULE.replace("name: reviews", "name: reviews\n  annotations: {a: 'meshproof: ignore'}")
    assert [finding.code for finding in lint_text(text)] == ["MP0304"]


def test_its_page_has_a_bad_and_a_good_example() -> None:
    described = read_page(ignore_comments.CODE)
    assert [finding.code for finding in lint_text(described.bad)] == [ignore_comments.CODE]
    assert lint_text(described.good) == []
    assert "\nWhy: " in described.text
