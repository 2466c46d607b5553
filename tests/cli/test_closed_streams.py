"""Standard streams that are closed or full: no traceback, and the exit code of the work."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

RULES = shlex.quote(str(ROOT / "manifests" / "rules" / "v3_only" / "v1alpha2.yaml"))
SHOP = shlex.quote(str(ROOT / "tests" / "cli" / "shop.yaml"))
#: What each command ends with where nobody reads what it prints.
CODES = {
    f"plan {RULES}": 0,
    f"lint {RULES}": 79,
    f"convert {RULES}": 0,
    "judge --plan --expect v1=1": 0,
    "judge --expect v1=50,v2=50": 3,
    "rbac": 0,
    "mesh status": 69,
    f"explain {SHOP} http://shop.example.com/cart": 0,
    f"compare {SHOP} {SHOP} --no-send": 0,
    f"intent init {SHOP}": 0,
}


def run_in_shell(command: str, optimize: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        f"{shlex.quote(sys.executable)} -m meshproof {command}",
        shell=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONOPTIMIZE": optimize},
    )


@pytest.mark.parametrize("command", CODES)
@pytest.mark.parametrize("closed", ["<&- >&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_closed(command: str, closed: str) -> None:
    done = run_in_shell(f"{command} {closed}")
    assert "Traceback" not in done.stderr
    assert done.returncode == CODES[command], done.stderr


@pytest.mark.parametrize("command", CODES)
def test_a_full_disk_is_said(command: str) -> None:
    done = run_in_shell(f"{command} >/dev/full")
    assert done.stderr.splitlines()[-1] == "meshproof: standard output: No space left on device"
    assert done.returncode == 69


def test_nothing_else_is_written_to_where_standard_output_was(tmp_path: Path) -> None:
    target = tmp_path / "rules.yaml"
    done = run_in_shell(f"convert {RULES} -o {target} <&- >&- 2>&-")
    assert done.returncode == 0
    assert "meshproof" not in target.read_text().splitlines()[0]


def test_without_asserts_and_docstrings() -> None:
    for command, code in CODES.items():
        done = run_in_shell(command, optimize="2")
        assert "Traceback" not in done.stderr
        assert done.returncode == code, done.stderr
    assert "MP0301" in run_in_shell("lint --explain MP0301", optimize="2").stdout
