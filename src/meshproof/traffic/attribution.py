"""Which version of an app gave an answer, as the answer itself tells."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from meshproof.base.errors import UsageError, nearest

if TYPE_CHECKING:
    from meshproof.mesh.counters import Counters

#: The total that only the changed build of `orders` answers (promise 5).
CHANGED_TOTAL = 1000
#: What `by` begins with where counters tell who answered: `counters:reviews`.
BY_COUNTERS = "counters:"

#: The official page has had `</dt>` and `<u>` around the pod's name, or nothing.
_REVIEWS_POD = re.compile(r"Reviews served by:(?:\s|</?\w[^>]*>)*([\w.-]+)")
_TOTAL = re.compile(rb'"total"\s*:\s*([0-9.]+)')


class Answered(Protocol):
    """What is looked at of an answer."""

    @property
    def status(self) -> int:
        """HTTP status (100..599)."""

    @property
    def body(self) -> bytes:
        """Body as it came."""

    @property
    def text(self) -> str:
        """Body as text."""


@dataclass(frozen=True)
class Attribution:
    """Tells from an answer which version of an app gave it, given pod name -> version.

    `counters` begins to count the requests to a service, for apps whose answers do not tell.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    counters: Callable[[str], Counters] | None = None

    def by(self, app: str) -> Callable[[Answered], str | None]:
        """Return the function for `app`. Raises UsageError for an app that this cannot tell."""
        known = {"reviews": self.reviews, "orders": self.orders}
        if app not in known:
            raise UsageError(
                f"answers do not tell versions of '{app}'{nearest(app, known)}; "
                f"where they do not, by='{BY_COUNTERS}{app}' asks its clients' proxies"
            )
        return known[app]

    def reviews(self, visit: Answered) -> str | None:
        """Return the version of the reviews pod that the productpage names, None if it names none.

        A pod that the mesh does not know is returned by its name: it is no version that was asked.
        """
        found = _REVIEWS_POD.search(visit.text) if visit.status == 200 else None
        return self.versions.get(found[1], found[1]) if found else None

    def orders(self, visit: Answered) -> str | None:
        """Return v2 for the changed build's total, v1 for another, None without a total."""
        found = _TOTAL.search(visit.body) if visit.status == 200 else None
        if found is None:
            return None
        return "v2" if float(found[1]) == CHANGED_TOTAL else "v1"
