from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshproof.run.record import Outcome


@pytest.mark.parametrize("name", ["prometheus", "zipkin"])
def test_a_real_one_holds_our_traffic(
    addon_run: Callable[..., Any], needs_program: Callable[[str], None], name: str
) -> None:
    needs_program(name)
    ended = addon_run(name, "--mesh-require-addon", name)
    assert ended.code == 0, ended.output
    assert ended.results[f"addon {name}"].outcome is Outcome.PASSED


def test_grafana_is_asked_through_its_data_source(
    addon_run: Callable[..., Any], needs_program: Callable[[str], None], grafana: Path
) -> None:
    needs_program("prometheus")
    ended = addon_run(
        "grafana", "--mesh-addon", f"grafana={grafana}", "--mesh-require-addon", "grafana"
    )
    assert ended.code == 0, ended.output
    assert ended.results["addon grafana"].outcome is Outcome.PASSED


def test_grafana_without_prometheus_is_not_passed(
    addon_run: Callable[..., Any], grafana: Path
) -> None:
    ended = addon_run(
        "grafana", "--mesh-addon", f"grafana={grafana}", "--mesh-addon", "prometheus=off"
    )
    assert ended.code == 69, ended.output
    assert "needs prometheus" in ended.results["addon grafana"].message


def test_one_that_dies_at_start_is_named_with_its_last_words(
    addon_run: Callable[..., Any], tmp_path: Path
) -> None:
    broken = tmp_path / "prometheus"
    broken.write_text("#!/bin/sh\necho 'error: cannot open the database' >&2\nexit 3\n")
    broken.chmod(0o755)
    ended = addon_run("prometheus", "--mesh-addon", f"prometheus={broken}")
    assert ended.code == 69, ended.output
    assert "ended with exit code 3" in ended.results["addon prometheus"].message
    assert "cannot open the database" in ended.results["addon prometheus"].message
