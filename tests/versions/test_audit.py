from __future__ import annotations

from typing import Any

import pytest

from tests.versions.audit import read_audit

CLEAN = {"name": "requests", "version": "2.32.4", "vulns": []}
BAD = {"name": "jinja2", "version": "3.1.0", "vulns": [{"id": "X-1", "fix_versions": ["3.1.6"]}]}
SKIPPED = {"name": "rich", "skip_reason": "Dependency not found"}


@pytest.mark.parametrize(
    ("dependencies", "code", "lines"),
    [
        ([CLEAN], 0, ["1 packages without an advisory"]),
        ([CLEAN, BAD], 1, ["jinja2 3.1.0: X-1, repaired in 3.1.6"]),
        ([SKIPPED, BAD], 1, ["jinja2 3.1.0: X-1, repaired in 3.1.6"]),
        ([CLEAN, SKIPPED], 0, ["1 packages without an advisory", "NOT AUDITED: rich"]),
        ([SKIPPED], 0, ["NOT RUN: pip-audit: no advisory data can be fetched here"]),
    ],
)
def test_what_could_not_be_looked_up_is_named(
    dependencies: list[dict[str, Any]], code: int, lines: list[str]
) -> None:
    assert read_audit({"dependencies": dependencies}) == (code, lines)
