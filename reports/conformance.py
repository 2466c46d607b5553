"""What the run says of conformance, `conformance.yaml`: as the reports of Gateway API have it.

The shape is that of ConformanceReport of gateway.networking.k8s.io/v1, under an apiVersion of our
own: profiles of two levels, with the words for their results. What Gateway API has no field for
stands beside it: the outcome, what is not supported, the command that repeats the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meshproof.base.escaping import escape_text
from meshproof.run.conformance import Conformance, Level, Profile, build_profiles
from meshproof.run.record import Result, Run

from . import _files, _phrases
from ._at_end import WriterAtEnd

#: The files that it writes into the report folder.
FILES = ("conformance.yaml",)
API_VERSION, KIND = "meshproof/v1alpha1", "ConformanceReport"
#: Conformance of a level -> what its summary says.
_SUMMARIES = {
    Conformance.SUCCESS: "succeeded",
    Conformance.PARTIAL: "did not all run",
    Conformance.FAILURE: "failed",
}


class Writer(WriterAtEnd):
    """Writes `conformance.yaml` into `folder`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "conformance.yaml"

    def ended(self, run: Run) -> None:
        """Write the report."""
        import yaml

        text = yaml.safe_dump(
            _escape(_build_report(run)), sort_keys=False, allow_unicode=True, width=100
        )
        _files.write_report(self._path, text)


def _build_report(run: Run) -> dict[str, Any]:
    """Return the report as plain values."""
    profiles = build_profiles(run)
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "date": run.started,
        "meshproofVersion": run.version,
        "mode": run.mesh,
        "implementation": {"facts": run.notes, "standIns": run.standins},
        "outcome": run.outcome.value,
        "exitCode": run.exit_code,
        "summary": f"{_phrases.render_headline(run)}.",
        "proves": run.proven,
        "profiles": [_build_profile(profile) for profile in profiles],
        "notSupported": [
            _describe_lack(result) for profile in profiles for result in profile.beyond
        ],
        "reproduce": run.command,
    }


def _build_profile(profile: Profile) -> dict[str, Any]:
    """Return a profile; extended is left out where nothing of it is known."""
    levels = {"core": _build_level(profile.core)}
    if profile.extended.results or profile.beyond:
        levels["extended"] = _build_level(profile.extended) | {
            "supportedFeatures": list(profile.supported),
            "unsupportedFeatures": list(profile.unsupported),
        }
    summary = " ".join(
        f"{name.capitalize()} tests {_SUMMARIES[level['result']]}."
        for name, level in levels.items()
        if level["statistics"] != _count(Level(()))
    )
    return {"name": profile.name, "summary": summary or "No test ran.", **levels}


def _build_level(level: Level) -> dict[str, Any]:
    """Return a level; its lists of tests are left out where they are empty."""
    lists = {"skippedTests": level.skipped, "failedTests": level.failed}
    return {
        "result": level.conformance.value,
        "statistics": _count(level),
        **{name: _list_names(results) for name, results in lists.items() if results},
    }


def _count(level: Level) -> dict[str, int]:
    """Return how many tests passed, failed and did not run."""
    return {
        "Failed": len(level.failed),
        "Passed": len(level.passed),
        "Skipped": len(level.skipped),
    }


def _list_names(results: Sequence[Result]) -> list[str]:
    return [result.name for result in results]


def _describe_lack(result: Result) -> dict[str, str]:
    """Return what is not supported, why, and how to get it where that is known."""
    lack = {"test": result.name, "reason": result.reason, "howToGet": result.how_to_get}
    return {name: text for name, text in lack.items() if text}


def _escape(value: Any) -> Any:
    """Return plain values with their texts escaped: YAML would write some as they are."""
    if isinstance(value, str):
        return escape_text(value)
    if isinstance(value, Mapping):
        return {name: _escape(item) for name, item in value.items()}
    return [_escape(item) for item in value] if isinstance(value, list) else value
