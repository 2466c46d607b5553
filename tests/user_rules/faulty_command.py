"""The command that serves a user's rules with a planted fault."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def build_command(
    rules: Path, fault: str, options: Sequence[str] = ("--mesh-beta=1e-6",)
) -> list[str]:
    """Return the arguments of `meshproof` for a fault of `own_faults`; "nothing" is none."""
    faults = ["-p", "tests.user_rules.own_faults", "--own-fault", fault]
    return ["test", "--rules", str(rules), *options, *faults]
