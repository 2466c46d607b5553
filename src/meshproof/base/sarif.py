"""What every SARIF 2.1.0 log of ours is made of (OASIS, SARIF Version 2.1.0)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from meshproof.base.escaping import escape_line

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def build_log(
    version: str,
    rules: Sequence[dict[str, Any]],
    results: Sequence[dict[str, Any]],
    exit_code: int,
    successful: Sequence[int],
) -> dict[str, Any]:
    """Return the log of one run of meshproof `version`.

    The run did its work if `exit_code` is one of `successful`, whatever it found.
    """
    driver = {"name": "meshproof", "semanticVersion": version, "rules": rules}
    invocation = {"executionSuccessful": exit_code in successful, "exitCode": exit_code}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [invocation],
        "results": results,
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def build_location(file: str, region: dict[str, Any]) -> dict[str, Any]:
    """Return the location of a region of a file: relative as it is named, `file:` if absolute."""
    path = PurePath(file)
    try:
        uri = quote(os.fsencode(path.as_posix()))
    except UnicodeEncodeError:  # no file has this name
        uri = quote(escape_line(file))
    artifact = {"uri": f"file://{uri}" if path.is_absolute() else uri}
    return {"physicalLocation": {"artifactLocation": artifact, "region": region}}
