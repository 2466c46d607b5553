"""The hooks that meshproof calls in other plugins of pytest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshproof.run.record import Writer


def pytest_meshproof_report(folder: Path) -> Writer | None:
    """Return a report of one's own, which the run calls beside those that are chosen.

    Called once in a run with reports (`meshproof test`, or --mesh-report), before the first test.
    `folder` is where the reports of the run are written. None: no report for this run.
    """
