"""Which promises each cause breaks: what a report says once for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from meshproof.run.cause import Cause
from meshproof.run.record import Outcome, Result, Run

#: At most this many routes of a cause are named.
_MAX_ROUTES = 4


@dataclass(frozen=True)
class BrokenByCause:
    """A cause with the results that it breaks; `case_counts` has the cases of each route."""

    cause: Cause
    results: tuple[Result, ...]
    case_counts: Counter[str]

    @property
    def example(self) -> Result:
        """The result that shows it best: a case, if possible one that breaks as a whole."""
        return max(self.results, key=lambda result: (not result.code, _get_share(result)))

    @property
    def breaks(self) -> str:
        """The routes with the number of their cases that break: `canary 7 of 7 cases`.

        Empty for what only lint says.
        """
        broken = Counter(result.route for result in self.results if not result.code)
        parts = [
            f"{route or 'no route'} {count} of {self.case_counts[route]}"
            for route, count in broken.items()
        ]
        more = f" and {len(parts) - _MAX_ROUTES} more routes" if len(parts) > _MAX_ROUTES else ""
        if parts:
            parts[0] = f"{parts[0]} cases"
        return ", ".join(parts[:_MAX_ROUTES]) + more

    @property
    def shares(self) -> str:
        """The share of each route's requests that break, where it is not all of them."""
        shares = {
            result.route: _get_share(result) for result in self.results if _get_share(result) < 1
        }
        parts = [
            f"{share * 100:.4g} % of the requests of {route or 'no route'}"
            for route, share in shares.items()
        ]
        return ", ".join(parts[:_MAX_ROUTES])


def _get_share(result: Result) -> float:
    return result.failure.broken_share if result.failure else 0.0


def has_cause(result: Result) -> bool:
    """Say whether a result failed by a cause that is known."""
    is_failed = result.outcome is Outcome.FAILED and result.failure is not None
    return bool(is_failed and result.failure and result.failure.root_cause)


def group_by_cause(run: Run) -> list[BrokenByCause]:
    """Return the causes of a run in the order of their first results."""
    counts = Counter(result.route for result in run.results if not result.code)
    by_cause: dict[Cause, list[Result]] = {}
    for result in filter(has_cause, run.results):
        if result.failure and result.failure.root_cause:
            by_cause.setdefault(result.failure.root_cause, []).append(result)
    return [BrokenByCause(cause, tuple(results), counts) for cause, results in by_cause.items()]


def count_without_cause(results: Iterable[Result]) -> int:
    """Return how many results failed by no cause that is known."""
    return sum(result.outcome is Outcome.FAILED and not has_cause(result) for result in results)
