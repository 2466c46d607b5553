"""The lines of a rule that a report shows."""

from dataclasses import replace
from pathlib import Path

import pytest

from meshproof.base.place import Place
from meshproof.reports import html
from meshproof.run.record import Run
from meshproof.run.rule_text import read_rule_text

RULES = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
spec:
  http:
  - name: beta
    match:
    - headers: {x-beta: {exact: "true"}}

    route:
    - destination: {host: web}
  - name: rest
    route: []
---
kind: Other
"""


@pytest.mark.parametrize(
    ("line", "first", "last", "count"),
    [
        (5, "- name: beta", "  - destination: {host: web}", 6),
        (11, "- name: rest", "  route: []", 2),
        (2, "kind: VirtualService", "    route: []", 11),
        (14, "kind: Other", "kind: Other", 1),
    ],
)
def test_a_block_ends_where_the_next_begins(
    tmp_path: Path, line: int, first: str, last: str, count: int
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    lines = read_rule_text(Place(str(file), line)).splitlines()
    assert (lines[0], lines[-1], len(lines)) == (first, last, count)


def test_a_long_block_is_cut(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("spec:\n" + "  a: b\n" * 99)
    lines = read_rule_text(Place(str(file), 1)).splitlines()
    assert (len(lines), lines[-1]) == (25, "...")


def test_what_is_no_text_has_none(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe" * 9)
    for place in (None, Place("-", 3), Place(str(tmp_path), 1), Place(str(tmp_path / "binary"), 1)):
        assert read_rule_text(place) == ""
    (tmp_path / "short").write_text("a: b\n")
    assert read_rule_text(Place(str(tmp_path / "short"), 7)) == ""


def test_what_a_rule_sets_in_secret_is_hidden(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("set:\n  x-api-key: Xq7\nmatch:\n  cookie: {exact: user=burr}\n")
    text = read_rule_text(Place(str(file), 1))
    assert text == "set:\n  x-api-key: [redacted]\nmatch:\n  cookie: {exact: user=burr}"


@pytest.mark.parametrize(
    ("block", "shown"),
    [
        ("- name: API_KEY\n  value: PLANTED\n", "- name: API_KEY\n  value: [redacted]"),
        ("- {name: x-api-key, value: PLANTED}\n", "- {name: x-api-key, value: [redacted]}"),
        ('{\n  "name": "x-api-key",\n  "value": "PLANTED"\n},\n', '"name": "x-api-key"'),
        ('{\n  "x-api-key": "PLANTED"\n}\n', '{\n  "x-api-key": "[redacted]"\n}'),
        ("a:\n  password: |\n    PLANTED\n  b: c\n", "    [redacted]\n  b: c"),
        ("a:\n  password: |\n    PLANTED cookie\n", "    [redacted]"),
        ("set:\n  cookie_secret: |\n    PLANTED\n", "    [redacted]"),
        (
            "key: |\n  -----BEGIN KEY-----\n  PLANTED\n  -----END KEY-----\nb: c\n",
            "[redacted]\nb: c",
        ),
        ("key: |\n  -----BEGIN KEY-----\n" + "  PLANTED\n" * 50, "[redacted]"),
    ],
)
def test_what_takes_two_lines_is_hidden(tmp_path: Path, block: str, shown: str) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(block)
    text = read_rule_text(Place(str(file), 1))
    assert "PLANTED" not in text
    assert shown in text


@pytest.mark.parametrize(
    "block",
    [
        'headers:\n  cookie:\n    regex: "^(.*?;)?(user=burr)(;.*)?$"',
        "- name: Cookie\n  value: user=burr",
    ],
)
def test_a_cookie_that_is_matched_stays(tmp_path: Path, block: str) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(block)
    assert read_rule_text(Place(str(file), 1)) == block


def test_the_page_shows_them_with_their_numbers(mixed_run: Run, tmp_path: Path) -> None:
    text = "- name: <b>\n  weight: 50 \x1b[31m"
    result = replace(mixed_run.results[2], rule_text=text)
    html.Writer(tmp_path).ended(replace(mixed_run, results=[result]))
    page = (tmp_path / "index.html").read_text("utf-8")
    assert '<span class="line">  21</span>  - name: &lt;b&gt;\n' in page
    assert '<span class="line">  22</span>    weight: 50 \\x1b[31m\n' in page
