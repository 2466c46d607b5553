"""Who answered, by the counters of the clients' proxies: for apps that do not tell their version.

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

#: What a request is counted as that went to a service by no subset: no rule sent it to one.
NO_SUBSET = "no subset"
#: How many proxies are asked at a time.
_PARALLEL_READS = 8
#: Order of a batch is drawn by this, so that a stored run can be made again.
_SEED = 20260
#: Requests of a batch at most: as many as the judge's smaller block (statistics.md, section 5), so
#: that round robin is seen as fast as it can be.
BATCH = 10

#: Returns the body of a path of a proxy's admin interface.
Reader = Callable[[str], str]


class Counters:
    """The requests to one service, as the proxies of its clients count them.

    `readers` are the admin interfaces of all proxies that may be clients, `host` is the service's
    full name. Counting begins now.
    """

    def __init__(self, readers: Mapping[str, Reader], host: str) -> None:
        self.host = host
        self._admin_readers = dict(readers)
        # Some write a name with `_` for each dot, and `;` at its end.
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
        """Return the requests that were answered since the last call, by subset.

        None are answers 5xx, which may be the proxy's own: no version is known to have given them.
        Proxies that have sent none before are asked only when fewer than `expected` are found.
        """
        counts = self._count_increase(self._active_proxies)
        if counts.total() < expected:
            idle_proxies = [
                name for name in self._admin_readers if name not in self._active_proxies
            ]
            counts += self._count_increase(idle_proxies)
        return counts

    def _count_increase(self, names: Sequence[str]) -> Counter[str | None]:
        total: Counter[str | None] = Counter()
        for name, counts in zip(names, self._read_counts(names), strict=True):
            increase = counts - self._last_counts[name]
            self._last_counts[name] = counts
            total += increase
            if increase and name not in self._active_proxies:
                self._active_proxies.append(name)
        return total

    def _read_counts(self, names: Sequence[str]) -> list[Counter[str | None]]:
        with ThreadPoolExecutor(_PARALLEL_READS) as pool:
            texts = pool.map(lambda name: self._admin_readers[name](self._path), names)
            return [self._parse_counts(text) for text in texts]

    def _parse_counts(self, text: str) -> Counter[str | None]:
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
    """Yield, for each request of each batch, the subset that answered it; None where none is known.

    `start_counters` begins to count. Each request must make its client call the service once. Counters say
    how many each subset got, not in which order: the order within a batch is drawn at random.
    Under independent draws every order of given counts is equally likely, so what is yielded has
    the distribution of the answers themselves, and every error rate of the judge holds as it
    stands, looks within a batch and the judgement of the order included. What is lost is power:
    regularity within a batch goes unseen, that of the batches' counts does not, and it is by those
    that round robin is told from weights (blocks of 10 and 50, statistics.md, section 5): batches
    are to have BATCH requests at most.

    Raises Inconclusive when more requests are counted than were sent (others use the same clients),
    or none at all.
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
