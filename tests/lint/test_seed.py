"""The user's own rule files: every defect that is known is found on its line, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshproof.documents.manifest import read
from meshproof.lint import Finding, lint
from tests import TESTS

SEED = TESTS / "rules" / "seed"
BURR = "route-rule-reviews-burr-v3.yaml"
V3 = "route-rule-reviews-v3.yaml"
ORDERS = "route-rule-sock-shop-orders.yaml"
DEPLOYMENT = "orders-test.yaml"

#: Every defect of the files when they are linted together: file, line, code, and what to do.
DEFECTS = [
    (DEPLOYMENT, 1, "MP0207", "apps/v1"),
    (DEPLOYMENT, 6, "MP0208", "selector: {matchLabels: {name: orders, version: v2}}"),
    (BURR, 1, "MP0102", "apiVersion"),
    (BURR, 2, "MP0204", "VirtualService and DestinationRule (meshproof convert writes it)"),
    (BURR, 9, "MP0205", "request.headers"),
    (BURR, 11, "MP0403", r"^(.*?;\s*)?user=burr(;.*)?$"),
    (BURR, 12, "MP0101", "precedence"),
    (V3, 2, "MP0204", "VirtualService and DestinationRule (meshproof convert writes it)"),
    (V3, 4, "MP0209", "another name, or one object for both"),
    (
        ORDERS,
        1,
        "MP0107",
        "apiVersion: config.istio.io/v1alpha2 and kind: RouteRule, and then meshproof convert",
    ),
]
#: What is found only where both files are there: the second replaces the first.
TOGETHER = {"MP0209"}


def _summarize(findings: list[Finding]) -> list[tuple[str, int, str]]:
    return sorted(
        (Path(finding.at.file).name, finding.at.line, finding.code) for finding in findings
    )


def _expected(file: str = "") -> list[tuple[str, int, str]]:
    rows = [(name, line, code) for name, line, code, _ in DEFECTS]
    return sorted(row for row in rows if not file or (row[0] == file and row[2] not in TOGETHER))


def test_together_every_defect_and_no_other() -> None:
    findings = lint(read([SEED]))
    assert _summarize(findings) == _expected(), "\n".join(map(str, findings))


@pytest.mark.parametrize("file", [BURR, V3, ORDERS, DEPLOYMENT])
def test_alone_every_defect_and_no_other(file: str) -> None:
    findings = lint(read([SEED / file]))
    assert _summarize(findings) == _expected(file), "\n".join(map(str, findings))


@pytest.mark.parametrize(
    ("file", "line", "code", "repair"),
    DEFECTS,
    ids=lambda value: str(value)[:40],
)
def test_each_defect_comes_with_its_repair(file: str, line: int, code: str, repair: str) -> None:
    (finding,) = [
        candidate
        for candidate in lint(read([SEED]))
        if candidate.code == code
        and candidate.at.line == line
        and Path(candidate.at.file).name == file
    ]
    assert repair in finding.suggestion


def test_the_second_of_one_name_says_which_it_replaces() -> None:
    (finding,) = [candidate for candidate in lint(read([SEED])) if candidate.code == "MP0209"]
    assert "'reviews-default' replaces the one at " in finding.message
    assert finding.message.endswith(f"{BURR}:1")
