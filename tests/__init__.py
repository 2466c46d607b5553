"""Tests of this project; the folders mirror src/meshproof."""

from pathlib import Path

#: The checkout, and this folder in it.
ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"
