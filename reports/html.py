"""One self-contained page, `index.html`: the verdict first, every figure one click away."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from meshproof.base.errors import pluralize
from meshproof.base.escaping import escape_text
from meshproof.run.broken import group_by_cause, has_cause
from meshproof.run.figures import format_alpha, name_check
from meshproof.run.history import Course, describe_course, read_history
from meshproof.run.record import Check, Outcome, Result, Run
from meshproof.verdict import WrongSplit
from meshproof.verdict.comparison import CAUGHT
from meshproof.verdict.phrases import describe_bound, format_percent

from . import _files, _phrases

TRACK = 240  # width of a bar in pixels; 100 % is at its right end

#: A strip has so many columns at most; more answers share one. It has no colours for more versions.
MAX_STRIP_COLUMNS, MAX_STRIP_VERSIONS, STRIP_HEIGHT = 200, 4, 20

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
            build_strip=_build_strip,
            strip_height=STRIP_HEIGHT,
            filters=_list_filters(run),
            has_cause=has_cause,
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
    nearest_wrong: tuple[WrongSplit, ...] = ()

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
            nearest_wrong=tuple(
                split for split in verdict.splits if split.nearest and split.version == label
            ),
            wrong=not verdict.holds and (not low <= promised <= high if declared else not count),
        )


@dataclass(frozen=True)
class Strip:
    """Who gave the answers, in send order: columns of `per_column` answers, stacked by version.

    `areas` has the SVG path of each version in `versions`, the lowest first: each covers what lies
    above it, too, and is covered by those that come after it.
    """

    versions: tuple[str, ...]
    areas: tuple[str, ...]
    columns: int
    per_column: int


def _build_strip(check: Check) -> Strip:
    """Return the strip of a check; without versions where one at most answered, or too many."""
    labels = [label for label in check.verdict.labels if label is not None]
    versions = tuple(sorted(set(labels)))
    if not 1 < len(versions) <= MAX_STRIP_VERSIONS:
        return Strip((), (), 0, 0)
    per_column = max(1, -(-len(labels) // MAX_STRIP_COLUMNS))
    starts = range(0, len(labels), per_column)
    columns = [Counter(labels[start : start + per_column]) for start in starts]
    areas = (
        _draw_area([_scale(column, versions[:number]) for column in columns])
        for number in range(len(versions), 0, -1)
    )
    return Strip(versions, tuple(areas), len(columns), per_column)


def _scale(column: Counter[str], versions: tuple[str, ...]) -> int:
    """Return the height of the answers of `versions` in a column."""
    count = sum(column[version] for version in versions)
    return round(STRIP_HEIGHT * count / column.total())


def _draw_area(heights: list[int]) -> str:
    """Return the SVG path from the top edge down to `heights`; equal neighbours are one step."""
    steps = (f"V{height}h{len(list(group))}" for height, group in itertools.groupby(heights))
    return f"M0 0{''.join(steps)}V0z"


def _list_filters(run: Run) -> list[tuple[str, list[str]]]:
    """Return name and values of each filter that has more than one value."""
    values = {
        "outcome": [result.outcome.value for result in run.results],
        "file": [result.rule.file for result in run.results if result.rule],
        "route": [result.route for result in run.results if result.route],
    }
    return [
        (name, list(dict.fromkeys(found))) for name, found in values.items() if len(set(found)) > 1
    ]


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
