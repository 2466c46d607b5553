from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import EndedCommand, run_command


@pytest.fixture
def addon_run(tmp_path: Path) -> Callable[..., EndedCommand]:
    """Run `meshproof test -k NAMES` in an empty folder; return what became of each addon."""
    return lambda names, *options: run_command("test", "-k", names, *options, folder=tmp_path)


@pytest.fixture
def needs_program() -> Callable[[str], None]:
    """Skip where a program is lacking, except in CI: there it must be."""

    def need(name: str) -> None:
        is_installed = "ZIPKIN_JAR" in os.environ if name == "zipkin" else shutil.which(name)
        if is_installed:
            return
        if "CI" in os.environ:
            pytest.fail(f"{name} must be there in CI")
        pytest.skip(f"{name} is not on this machine")

    return need


@pytest.fixture
def grafana(tmp_path: Path) -> Path:
    """A program that answers as Grafana does; it stands in for it."""
    source = Path(__file__).with_name("grafana_stand_in.py")
    path = tmp_path / "grafana-server"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{source}" "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path
