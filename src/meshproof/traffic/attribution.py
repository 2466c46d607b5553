"""Reads from a response which version of an app gave it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meshproof.base.errors import UsageError, suggest_nearest
from meshproof.mesh.http import HttpResponse

if TYPE_CHECKING:
    from meshproof.mesh.counters import Counters

#: The total that only the changed build of `orders` answers (promise 5).
CHANGED_TOTAL = 1000
#: Start of a `by` that reads versions from the counters of proxies: `counters:reviews`.
BY_COUNTERS = "counters:"

#: The official page has had `</dt>` and `<u>` around the pod's name, or nothing.
_REVIEWS_POD = re.compile(r"Reviews served by:(?:\s|</?\w[^>]*>)*([\w.-]+)")
_TOTAL = re.compile(rb'"total"\s*:\s*([0-9.]+)')


ReadVersion = Callable[[HttpResponse], str | None]


@dataclass(frozen=True)
class Attribution:
    """Reads which version of an app gave a response.

    `versions` maps pod name -> version. `start_counters` starts to count the requests to a service,
    for apps whose responses do not tell.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    start_counters: Callable[[str], Counters] | None = None

    def find_reader(self, app: str) -> ReadVersion:
        """Return the reader for `app`. Raises UsageError for an app without one."""
        readers: dict[str, ReadVersion] = {
            "reviews": self.read_reviews_version,
            "orders": self.read_orders_version,
        }
        if app not in readers:
            raise UsageError(
                f"answers do not tell versions of '{app}'{suggest_nearest(app, readers)}; "
                f"where they do not, by='{BY_COUNTERS}{app}' asks its clients' proxies"
            )
        return readers[app]

    def read_reviews_version(self, response: HttpResponse) -> str | None:
        """Return the version of the reviews pod that the productpage names, None if it names none.

        The name of an unknown pod is returned as it is: it is no declared version, so the judge
        counts it as wrong.
        """
        match = _REVIEWS_POD.search(response.text) if response.status == 200 else None
        return self.versions.get(match[1], match[1]) if match else None

    def read_orders_version(self, response: HttpResponse) -> str | None:
        """Return v2 for the changed build's total, v1 for another, None without a total."""
        match = _TOTAL.search(response.body) if response.status == 200 else None
        if match is None:
            return None
        return "v2" if float(match[1]) == CHANGED_TOTAL else "v1"
