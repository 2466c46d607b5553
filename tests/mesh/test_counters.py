"""Who answered, by counters: what is read of a proxy, and how a batch is labelled."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from meshproof.base.errors import Inconclusive
from meshproof.mesh.counters import NO_SUBSET, Counters, label_requests
from meshproof.verdict import Outcome, Settings, judge

HOST = "reviews.ours.svc.cluster.local"


class Proxy:
    """A proxy's admin interface; what it has counted, by subset."""

    def __init__(self, end: str = ";") -> None:
        self.counted: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.asked = 0
        self._end = end

    def read(self, path: str) -> str:
        assert path.startswith("/stats?usedonly&filter=")
        self.asked += 1
        lines = [
            f"cluster.outbound|9080|{subset}|{host}{self._end}.upstream_rq_{kind}: {number}"
            for host in (HOST, f"{HOST}.example", f"my{HOST}")
            for kind, counts in (("completed", self.counted), ("5xx", self.failed))
            for subset, number in counts.items()
        ]
        return "\n".join([*lines, f"cluster.outbound|9080|v1|{HOST};.upstream_rq_2xx: 999"])


def visited(proxy: Proxy, source: Iterator[str], size: int = 10) -> Iterator[list[object]]:
    """Yield batches; each request is counted where it goes."""
    while True:
        proxy.counted.update(itertools.islice(source, size))
        yield [object()] * size


def draws(shares: dict[str, float], seed: int = 7) -> Iterator[str]:
    rng = random.Random(seed)
    while True:
        yield rng.choices(list(shares), list(shares.values()))[0]


@pytest.mark.parametrize("end", [";", ""])
def test_only_what_was_counted_since_and_for_the_service(end: str) -> None:
    proxy = Proxy(end)
    proxy.counted.update(v1=5)
    counters = Counters({"page": proxy.read}, HOST)
    assert counters.count_new(3) == {}
    proxy.counted.update({"v1": 2, "": 1})
    assert counters.count_new(3) == {"v1": 2, NO_SUBSET: 1}
    assert counters.count_new(3) == {}


def test_5xx_are_nobodys_answers() -> None:
    proxy = Proxy()
    counters = Counters({"page": proxy.read}, HOST)
    proxy.counted.update(v1=4)
    proxy.failed.update(v1=3)
    assert counters.count_new(4) == {"v1": 1, None: 3}


def test_others_are_asked_only_when_something_is_missing() -> None:
    page, other_proxy = Proxy(), Proxy()
    counters = Counters({"page": page.read, "other": other_proxy.read}, HOST)
    page.counted.update(v1=10)
    assert counters.count_new(10) == {"v1": 10}
    reads_before = other_proxy.asked
    page.counted.update(v1=10)
    assert counters.count_new(10) == {"v1": 10}
    assert other_proxy.asked == reads_before
    page.counted.update(v1=6)
    other_proxy.counted.update(v2=4)
    assert counters.count_new(10) == {"v1": 6, "v2": 4}


def verdict_of(source: Iterator[str], size: int = 10, **settings: float) -> Outcome:
    proxy = Proxy()
    labels = label_requests(
        visited(proxy, source, size), lambda: Counters({"page": proxy.read}, HOST)
    )
    return judge(labels, {"v1": 50, "v2": 50}, Settings(**settings)).outcome  # type: ignore[arg-type]


def test_a_split_is_judged_as_from_answers() -> None:
    assert verdict_of(draws({"v1": 0.5, "v2": 0.5})) is Outcome.PASSED
    assert verdict_of(draws({"v1": 0.6, "v2": 0.4})) is Outcome.FAILED
    assert verdict_of(draws({"v1": 0.5, "v2": 0.5}), size=50) is Outcome.PASSED


def test_round_robin_is_no_split() -> None:
    assert verdict_of(itertools.cycle(["v1", "v2"])) is Outcome.FAILED


def test_no_false_alarm_in_many_runs() -> None:
    """At alpha 0.05 for each part (shares, order), fewer than 0.2 of 100 runs may not pass."""
    outcomes = Counter(
        verdict_of(
            draws({"v1": 0.5, "v2": 0.5}, seed), tolerance=0.2, alpha=0.05, alpha_independence=0.05
        )
        for seed in range(100)
    )
    assert outcomes[Outcome.PASSED] > 80, outcomes


def test_too_many_or_none_at_all_is_inconclusive() -> None:
    proxy = Proxy()

    def begin() -> Counters:
        return Counters({"page": proxy.read}, HOST)

    with pytest.raises(Inconclusive, match=r"20 requests to .* were counted for 10"):
        next(label_requests(([object()] * 10 for _ in visited(proxy, draws({"v1": 1}), 20)), begin))
    with pytest.raises(Inconclusive, match=r"statsInclusionPrefixes: cluster\.outbound"):
        next(label_requests([[object()] * 10], begin))


def test_too_few_name_no_version() -> None:
    proxy = Proxy()
    batches = ([object()] * 12 for _ in visited(proxy, draws({"v1": 1}), 10))
    labels = label_requests(batches, lambda: Counters({"page": proxy.read}, HOST))
    assert Counter(itertools.islice(labels, 24)) == {"v1": 20, None: 4}
