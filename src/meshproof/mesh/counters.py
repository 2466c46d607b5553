"""Tell which subset answered by the counters of the clients' proxies, for apps without a version.

Source: Envoy docs, "Cluster manager: Statistics" (upstream_rq_completed, upstream_rq_5xx), and
istiod's names of clusters: `outbound|port|subset|host`.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from meshproof.base.errors import Inconclusive

#: The label of a request that no rule sent to a subset.
NO_SUBSET = "no subset"
#: How many proxies are read at the same time.
_PARALLEL_READS = 8
#: The seed of the random order within batches, so that a stored run can be repeated.
_SEED = 20260
#: Most requests in a batch: the judge's smaller block (statistics.md, section 5), so
#: that round robin is seen as early as possible.
BATCH = 10

#: Reads a path of a proxy's admin interface and returns the body.
Reader = Callable[[str], str]


class Counters:
    """The requests to one service, as its clients' proxies count them.

    `readers` read the admin interfaces of all proxies that may be clients; `host` is the service's
    full name. Counting starts with the constructor.
    """

    def __init__(self, readers: Mapping[str, Reader], host: str) -> None:
        self.host = host
        self._admin_readers = dict(readers)
        # Some proxies write `_` for each dot of a name and `;` at its end.
        name = re.escape(host).replace(r"\.", "[._]") + ";?"
        kinds = r"\.upstream_rq_(completed|5xx)"
        self._stats = re.compile(
            rf"^cluster\.outbound\|\d+\|([^|]*)\|{name}{kinds}: (\d+)$", re.MULTILINE
        )
        pattern = rf"^cluster\.outbound\|[0-9]+\|[^|]*\|{name}{kinds}$"
        self._path = f"/stats?usedonly&filter={quote(pattern)}"
        self._active_proxies: list[str] = []
        self._last_counts = dict(
            zip(self._admin_readers, self._read_counts(list(self._admin_readers)), strict=True)
        )

    def count_new(self, expected: int) -> Counter[str | None]:
        """Return the requests answered since the last call, by subset.

        Responses 5xx count as None: the proxy itself may have sent them, so no version is known.
        Proxies without a request so far are read only if the active ones count fewer than
        `expected`.
        """
        counts = self._count_increase(self._active_proxies)
        if counts.total() < expected:
            idle_proxies = [
                name for name in self._admin_readers if name not in self._active_proxies
            ]
            counts += self._count_increase(idle_proxies)
        return counts

    def _count_increase(self, names: Sequence[str]) -> Counter[str | None]:
        """Read some proxies; return how much their counts have grown since the last read."""
        total: Counter[str | None] = Counter()
        for name, counts in zip(names, self._read_counts(names), strict=True):
            increase = counts - self._last_counts[name]
            self._last_counts[name] = counts
            total += increase
            if increase and name not in self._active_proxies:
                self._active_proxies.append(name)
        return total

    def _read_counts(self, names: Sequence[str]) -> list[Counter[str | None]]:
        """Read the statistics of some proxies at the same time; return the counts of each."""
        with ThreadPoolExecutor(_PARALLEL_READS) as pool:
            texts = pool.map(lambda name: self._admin_readers[name](self._path), names)
            return [self._parse_counts(text) for text in texts]

    def _parse_counts(self, text: str) -> Counter[str | None]:
        """Return the requests by subset in a proxy's statistics, with responses 5xx as None."""
        counts: Counter[str | None] = Counter()
        for subset, suffix, number in self._stats.findall(text):
            count = int(number)
            if suffix == "5xx":
                counts[None] += count
                count = -count
            counts[subset or NO_SUBSET] += count
        return counts


def label_requests(
    batches: Iterable[Sequence[object]], start_counters: Callable[[], Counters]
) -> Generator[str | None]:
    """Yield the subset that answered each request of each batch; None if no subset is known.

    `start_counters` starts the counting. Each request must make its client call the service once. A
    batch must have at most BATCH requests.

    Counters tell how many requests each subset got, but not in which order. So the order within a
    batch is drawn at random. Under independent draws every order of given counts is equally likely;
    the labels therefore have the same distribution as the responses. All error rates of the judge
    hold unchanged, also for looks within a batch and for the judgement of the order. Only power is
    lost: regularity within a batch goes unseen. Regularity of the batches' counts is seen, and that
    is what tells round robin from weights (blocks of 10 and 50, statistics.md, section 5).

    Raises Inconclusive if more requests are counted than were sent (others use the same clients),
    or if none is counted.
    """
    shuffle = random.Random(_SEED).shuffle
    counters = start_counters()
    any_counted = False
    for batch in batches:
        counts = counters.count_new(len(batch))
        if counts.total() > len(batch):
            raise Inconclusive(
                f"{counts.total()} requests to {counters.host} were counted for {len(batch)} that "
                "were sent: others call it from the same clients, or one request calls it more "
                "than once; counters cannot tell which are ours"
            )
        any_counted = any_counted or bool(counts)
        if not any_counted:
            raise Inconclusive(
                f"no proxy has counted a request to {counters.host}: either nothing calls it, or "
                "the clients' proxies do not keep the counters of clusters; on their pods, the "
                "annotation `sidecar.istio.io/statsInclusionPrefixes: cluster.outbound` lets them"
            )
        subsets = list(counts.elements())
        subsets += [None] * (len(batch) - len(subsets))
        shuffle(subsets)
        yield from subsets
