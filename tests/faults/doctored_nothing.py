"""No fault at all: the same run is green. And one that asks for a verdict too soon."""

from __future__ import annotations

import pytest

from tests.faults.doctored_manifests import READS_REVIEWS
from tests.faults.planting import fault


@fault("none", exit_code=0, is_long=True)
def none(patch: pytest.MonkeyPatch) -> None:
    """Leave everything as it is."""


@fault(
    "budget too small",
    "-k=productpage or rotation or v3_only or cookie or split_half",
    "--mesh-budget=20",
    exit_code=3,
    inconclusive=dict.fromkeys(
        ("productpage", *READS_REVIEWS, "split half"), "20 answers were not enough"
    ),
)
def small_budget(patch: pytest.MonkeyPatch) -> None:
    """Leave everything as it is; the budget is an argument."""
