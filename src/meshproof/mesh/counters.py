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
_AT_ONCE = 8
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
        self._readers = dict(readers)
        # Some write a name with `_` for each dot, and `;` at its end.
        name = re.escape(host).replace(r"\.", "[._]") + ";?"
        kinds = r"\.upstream_rq_(completed|5xx)"
        self._stats = re.compile(
            rf"^cluster\.outbound\|\d+\|([^|]*)\|{name}{kinds}: (\d+)$", re.MULTILINE
        )
        pattern = rf"^cluster\.outbound\|[0-9]+\|[^|]*\|{name}{kinds}$"
        self._path = f"/stats?usedonly&filter={quote(pattern)}"
        self._clients: list[str] = []
        self._last = dict(zip(self._readers, self._read(list(self._readers)), strict=True))

    def since(self, expected: int) -> Counter[str | None]:
        """Return the requests that were answered since the last call, by subset.

        None are answers 5xx, which may be the proxy's own: no version is known to have given them.
        Proxies that have sent none before are asked only when fewer than `expected` are found.
        """
        found = self._moved(self._clients)
        if found.total() < expected:
            rest = [name for name in self._readers if name not in self._clients]
            found += self._moved(rest)
        return found

    def _moved(self, names: Sequence[str]) -> Counter[str | None]:
        found: Counter[str | None] = Counter()
        for name, now in zip(names, self._read(names), strict=True):
            moved = now - self._last[name]
            self._last[name] = now
            found += moved
            if moved and name not in self._clients:
                self._clients.append(name)
        return found

    def _read(self, names: Sequence[str]) -> list[Counter[str | None]]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            texts = pool.map(lambda name: self._readers[name](self._path), names)
            return [self._parsed(text) for text in texts]

    def _parsed(self, text: str) -> Counter[str | None]:
        found: Counter[str | None] = Counter()
        for subset, kind, number in self._stats.findall(text):
            count = int(number)
            if kind == "5xx":
                found[None] += count
                count = -count
            found[subset or NO_SUBSET] += count
        return found


def labels(
    batches: Iterable[Sequence[object]], begin: Callable[[], Counters]
) -> Generator[str | None]:
    """Yield, for each request of each batch, the subset that answered it; None where none is known.

    `begin` begins to count. Each request must make its client call the service once. Counters say
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
    counters = begin()
    seen = False
    for batch in batches:
        found = counters.since(len(batch))
        if found.total() > len(batch):
            raise Inconclusive(
                f"{found.total()} requests to {counters.host} were counted for {len(batch)} that "
                "were sent: others call it from the same clients, or one request calls it more "
                "than once; counters cannot tell which are ours"
            )
        seen = seen or bool(found)
        if not seen:
            raise Inconclusive(
                f"no proxy has counted a request to {counters.host}: either nothing calls it, or "
                "the clients' proxies do not keep the counters of clusters; on their pods, the "
                "annotation `sidecar.istio.io/statsInclusionPrefixes: cluster.outbound` lets them"
            )
        known = list(found.elements())
        known += [None] * (len(batch) - len(known))
        shuffle(known)
        yield from known
