"""Several rules for one host: real Envoys serve what istiod makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RULES = Path(__file__).with_name("precedence.yaml")
pytestmark = pytest.mark.local


def test_every_case_of_several_rules_for_one_host_passes(meshproof: Callable[..., Any]) -> None:
    ended = meshproof("test", "--rules", str(RULES))
    assert ended.code == 0, ended.output
    assert {
        "shop.example: path /api -> api",
        "shop.example: any request -> web",
        "cart: path /a -> any version",
        "cart: any request from namespace shop -> pay",
        "stock: any request from namespace shop -> pay",
        "stock: from namespace default (it is not exported there) -> any version",
    } <= set(ended.results)
