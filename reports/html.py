"""One self-contained page, `index.html`: the verdict first, every figure one click away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from meshproof.base.errors import pluralize
from meshproof.base.escaping import escape_text
from meshproof.run.broken import group_by_cause
from meshproof.run.figures import format_alpha, name_check
from meshproof.run.history import Course, describe_course, read_history
from meshproof.run.record import Check, Outcome, Result, Run
from meshproof.verdict.comparison import CAUGHT
from meshproof.verdict.phrases import describe_bound, format_percent

from . import _files, _phrases

TRACK = 240  # width of a bar in pixels; 100 % is at its right end

_MARKS_AND_TONES = {
    Outcome.PASSED: ("✓", "good"),
    Outcome.FAILED: ("✗", "bad"),
    Outcome.INCONCLUSIVE: ("?", "open"),
    Outcome.NOT_SUPPORTED: ("-", "none"),
    Outcome.SKIPPED: ("-", "none"),
    Outcome.MESH_NOT_READY: ("!", "bad"),
    Outcome.INTERNAL_ERROR: ("!", "bad"),
}

#: The files that it writes into the report folder.
FILES = ("index.html",)


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
            finalize=_escape_value,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        source = files("meshproof.reports").joinpath("templates/run.html").read_text("utf-8")
        page = environment.from_string(source).render(
            run=run,
            phrases=_phrases,
            name_check=name_check,
            format_alpha=format_alpha,
            causes=group_by_cause(run),
            courses=self._read_courses(run),
            describe_bound=describe_bound,
            percent=format_percent,
            plural=pluralize,
            marks=_MARKS_AND_TONES,
            build_rows=lambda check: list(_build_share_rows(check)),
            build_link=self._build_link,
            track=TRACK,
        )
        _files.write_report(self._folder / "index.html", page + "\n")

    def _read_courses(self, run: Run) -> dict[str, Course]:
        """Return the course of each promise that the history beside the page knows."""
        runs = read_history(self._folder)
        names = dict.fromkeys(result.name for result in run.results)
        courses = {name: describe_course(runs, name, run.mesh) for name in names}
        return {name: course for name, course in courses.items() if len(course.outcomes) > 1}

    def _build_link(self, diagnosis: str) -> str:
        """Return the relative address of a diagnosis, "" when it is outside the report folder."""
        try:
            relative_path = Path(diagnosis).resolve().relative_to(self._folder.resolve())
        except (OSError, ValueError):
            return ""
        return f"./{quote(relative_path.as_posix())}"


@dataclass(frozen=True)
class ShareRow:
    """The row of one version in one check. Shares are 0 to 1; `low` to `high` is the interval.

    `promised` is None where no share is declared; `band` is the tolerated range in both cases.
    """

    label: str
    promised: float | None
    count: int
    observed: float
    low: float
    high: float
    band: tuple[float, float]
    wrong: bool

    def to_pixels(self, share: float) -> float:
        """Return the position of `share` on the bar, in pixels."""
        return round(TRACK * share, 1)

    @property
    def interval(self) -> str:
        """The interval as text."""
        return f"{format_percent(self.low)} to {format_percent(self.high)}"


def _build_share_rows(check: Check) -> Iterator[ShareRow]:
    """Yield a row for every version that was promised or observed."""
    verdict = check.verdict
    intervals = verdict.intervals()
    for label in {**verdict.expected, **verdict.counts}:
        count = verdict.counts.get(label, 0)
        promised = verdict.expected.get(label, 0.0)
        declared = verdict.kind != "presence" or label not in verdict.expected
        low, high = intervals.get(label, (0.0, 1.0))
        band = (
            _find_tolerated_band(check, promised) if declared else (verdict.settings.present, 1.0)
        )
        yield ShareRow(
            label=label,
            promised=promised if declared else None,
            count=count,
            observed=count / verdict.n if verdict.n else 0.0,
            low=low,
            high=high,
            band=band,
            wrong=not verdict.holds and (not low <= promised <= high if declared else not count),
        )


def _find_tolerated_band(check: Check, promised: float) -> tuple[float, float]:
    """Return the lowest and highest share that the check tolerates for this promised share."""
    settings = check.verdict.settings
    if check.verdict.kind == "comparison":
        return max(promised - CAUGHT, 0.0), min(promised + CAUGHT, 1.0)
    if promised <= 0:
        return 0.0, settings.leak
    if promised >= 1:
        return 1 - settings.leak, 1.0
    return max(promised - settings.tolerance, 0.0), min(promised + settings.tolerance, 1.0)


def _escape_value(value: object) -> object:
    """Return the text of a template value with its control characters escaped.

    Every value is one, whatever its type: a remark or an outcome is printed by its `str`. What the
    template itself has made of such text is markup, and stays.
    """
    return value if hasattr(value, "__html__") else escape_text(str(value))
