"""One self-contained page, `index.html`: the verdict first, every figure one click behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from meshproof.base.errors import plural
from meshproof.run.record import Check, Outcome, Result, Run
from meshproof.verdict.phrases import format_percent

from . import _files, _words

TRACK = 240  # width of a bar in pixels; 100 % is at its right end

_LOOK = {
    Outcome.PASSED: ("✓", "good"),
    Outcome.FAILED: ("✗", "bad"),
    Outcome.INCONCLUSIVE: ("?", "open"),
    Outcome.NOT_SUPPORTED: ("-", "none"),
    Outcome.SKIPPED: ("-", "none"),
    Outcome.MESH_NOT_READY: ("!", "bad"),
    Outcome.INTERNAL_ERROR: ("!", "bad"),
}


class Writer:
    """Writes `index.html` into `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def started(self, run: Run) -> None:
        """Write nothing yet."""

    def progress(self, text: str) -> None:
        """Write nothing: progress is no result."""

    def finished(self, result: Result) -> None:
        """Write nothing yet."""

    def ended(self, run: Run) -> None:
        """Write the page."""
        import jinja2

        environment = jinja2.Environment(
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            finalize=_printable,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        source = files("meshproof.reports").joinpath("templates/run.html").read_text("utf-8")
        page = environment.from_string(source).render(
            run=run,
            words=_words,
            percent=format_percent,
            plural=plural,
            look=_LOOK,
            shares=lambda check: list(_shares(check)),
            link=self._link,
            track=TRACK,
        )
        _files.write(self._folder / "index.html", page + "\n")

    def _link(self, diagnosis: str) -> str:
        """Return the address of the evidence, "" where it is not beside the page."""
        try:
            beside = Path(diagnosis).resolve().relative_to(self._folder.resolve())
        except (OSError, ValueError):
            return ""
        return f"./{quote(beside.as_posix())}"


@dataclass(frozen=True)
class Share:
    """One version in one check. Shares are 0 to 1; `low` to `high` is the interval.

    `promised` is None where no share is declared; `band` is what the check tolerates then.
    """

    label: str
    promised: float | None
    count: int
    seen: float
    low: float
    high: float
    band: tuple[float, float]
    wrong: bool

    def at(self, share: float) -> float:
        """Return where `share` lies on the bar, in pixels."""
        return round(TRACK * share, 1)

    @property
    def interval(self) -> str:
        """The interval as people read it."""
        return f"{format_percent(self.low)} to {format_percent(self.high)}"


def _shares(check: Check) -> Iterator[Share]:
    """Yield a row for every version that was promised or seen."""
    verdict = check.verdict
    intervals = verdict.intervals()
    for label in {**verdict.expected, **verdict.counts}:
        count = verdict.counts.get(label, 0)
        promised = verdict.expected.get(label, 0.0)
        declared = verdict.kind != "presence" or label not in verdict.expected
        low, high = intervals.get(label, (0.0, 1.0))
        band = _band(check, promised) if declared else (verdict.settings.present, 1.0)
        yield Share(
            label=label,
            promised=promised if declared else None,
            count=count,
            seen=count / verdict.n if verdict.n else 0.0,
            low=low,
            high=high,
            band=band,
            wrong=not verdict.holds and (not low <= promised <= high if declared else not count),
        )


def _band(check: Check, promised: float) -> tuple[float, float]:
    """Return the shares that the check lets through for a version of this promised share."""
    settings = check.verdict.settings
    if promised <= 0:
        return 0.0, settings.leak
    if promised >= 1:
        return 1 - settings.leak, 1.0
    return max(promised - settings.tolerance, 0.0), min(promised + settings.tolerance, 1.0)


def _printable(value: object) -> object:
    """Spell out control characters of plain text on its way into the page."""
    return _words.clean(value) if type(value) is str else value
