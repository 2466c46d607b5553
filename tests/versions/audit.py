"""`python -m tests.versions.audit`: are there advisories for what is installed? By pip-audit.

pip-audit passes over what it cannot look up. Here that is named, and is no pass: with no data at
all the audit counts as not run.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def read_audit(report: dict[str, Any]) -> tuple[int, list[str]]:
    """Return the exit code and the lines for a report of `pip-audit -f json`.

    The code is 1 for an advisory, else 0.
    """
    dependencies = report["dependencies"]
    advisories = [
        f"{dependency['name']} {dependency['version']}: {advisory['id']}, "
        f"repaired in {', '.join(advisory['fix_versions']) or 'no version'}"
        for dependency in dependencies
        for advisory in dependency.get("vulns", ())
    ]
    skipped = [dependency["name"] for dependency in dependencies if "skip_reason" in dependency]
    if advisories:
        return 1, advisories
    if len(skipped) == len(dependencies):
        return 0, ["NOT RUN: pip-audit: no advisory data can be fetched here"]
    lines = [f"{len(dependencies) - len(skipped)} packages without an advisory"]
    return 0, lines + ([f"NOT AUDITED: {', '.join(skipped)}"] if skipped else [])


def main() -> int:
    """Audit this environment; return the exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", "-f", "json", "--progress-spinner", "off"],
        capture_output=True,
        text=True,
    )
    try:
        code, lines = read_audit(json.loads(done.stdout))
    except ValueError:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        code, lines = 0, [f"NOT RUN: pip-audit: {reason}"]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
