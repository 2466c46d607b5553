"""The judge is light: importing it, and judging, loads nothing but the standard library."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("numpy", "scipy", "statsmodels", "pandas")


def test_import_loads_nothing_heavy():
    command = [sys.executable, "-X", "importtime", "-c", "import meshproof.verdict"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "meshproof.verdict" in loaded
    assert not [name for name in loaded if name.split(".")[0] in HEAVY]


def test_judging_loads_nothing_heavy_either():
    code = (
        "import sys, meshproof.verdict as v\n"
        "for expect in ({'v1': 33, 'v2': 33, 'v3': 34}, {'v1': 1}, ['v1', 'v2']):\n"
        "    str(v.judge(['v1', 'v2', 'v3'] * 900, expect).to_dict())\n"
        f"raise SystemExit(any(name in sys.modules for name in {HEAVY}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_exact_interval_loads_nothing_heavy() -> None:
    code = (
        "import sys, meshproof.verdict as v\n"
        "assert 0 < v.judge(['v1', 'v2'] * 900, ['v1', 'v2']).intervals()['v1'][0] < 1\n"
        f"raise SystemExit(any(name in sys.modules for name in {HEAVY}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
