"""Who answered, by the counters of the clients' sidecars: as the apps themselves say."""

from __future__ import annotations

from collections import Counter

import pytest

from meshproof import manifests, rules
from meshproof.base.errors import Inconclusive
from meshproof.documents import manifest
from meshproof.mesh import counters
from meshproof.mesh.cluster.mesh import ClusterMesh
from meshproof.mesh.http import HttpRequest
from meshproof.rules.model import RuleSet
from meshproof.traffic.attribution import Attribution
from meshproof.traffic.sender import Sampling
from meshproof.traffic.visits import Visits
from meshproof.verdict import Outcome, Settings, judge
from tests.certain import CERTAIN

ORDERS = "counters:orders.sock-shop"


def visits(mesh: ClusterMesh) -> Visits:
    """Return a sample of orders from outside: the front-end is the client that counts."""
    versions = {pod.name: pod.version for pod in mesh.replicas()}
    return Visits(
        mesh.address("ingress"),
        [HttpRequest("/orders")],
        "lab",
        Sampling(),
        attribution=Attribution(versions, mesh.start_counters),
    )


def split(**weights: int) -> RuleSet:
    """Return the rules of split_half with other weights."""
    documents = manifests.rules("split_half", "v1")
    destination_rules = [document for document in documents if document.kind == "DestinationRule"]
    parts = "".join(
        f"    - {{destination: {{host: orders, subset: {name}}}, weight: {weight}}}\n"
        for name, weight in weights.items()
    )
    text = (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
        "metadata: {name: orders, namespace: sock-shop}\n"
        f"spec:\n  hosts: [orders]\n  http:\n  - route:\n{parts}"
    )
    return rules.read_rules([*destination_rules, *manifest.parse(text, "orders.yaml")])


def test_one_version_alone(shop: ClusterMesh) -> None:
    with shop.applied(split(v2=100)):
        sample = visits(shop)
        versions = Counter(map(sample.attribution.read_orders_version, sample.take(50)))
        assert versions == {"v2": 50}
        verdict = judge(sample.label_by_app(ORDERS), {"v2": 100}, Settings(leak=0.1))
        assert verdict.holds, verdict
        red = judge(visits(shop).label_by_app(ORDERS), {"v1": 100}, CERTAIN)
        assert (red.outcome, red.code) == (Outcome.FAILED, "undeclared")


def test_a_split_as_the_app_tells_it(shop: ClusterMesh) -> None:
    with shop.applied(split(v1=50, v2=50)):
        verdict = judge(visits(shop).label_by_app(ORDERS), {"v1": 50, "v2": 50}, CERTAIN)
        assert verdict.holds, verdict
        sample, versions = visits(shop), Counter[str | None]()
        begun = shop.start_counters("orders.sock-shop")
        for batch in (sample.take(10) for _ in range(5)):
            batch_versions = Counter(map(sample.attribution.read_orders_version, batch))
            assert begun.count_new(10) == batch_versions
            versions += batch_versions
        assert set(versions) == {"v1", "v2"}


def test_sixty_to_forty_is_seen(shop: ClusterMesh) -> None:
    with shop.applied(split(v1=60, v2=40)):
        verdict = judge(visits(shop).label_by_app(ORDERS), {"v1": 50, "v2": 50}, CERTAIN)
        assert verdict.outcome is Outcome.FAILED, verdict
        assert verdict.code == "wrong-split"


def test_without_a_rule_no_subset_has_answered(shop: ClusterMesh) -> None:
    verdict = judge(visits(shop).label_by_app(ORDERS), {"v1": 50, "v2": 50}, CERTAIN)
    assert (verdict.outcome, set(verdict.counts) - {"v1", "v2"}) == (
        Outcome.FAILED,
        {counters.NO_SUBSET},
    )


def test_a_service_that_nobody_calls_is_inconclusive(shop: ClusterMesh) -> None:
    with pytest.raises(Inconclusive, match=r"no proxy has counted a request to nobody\."):
        judge(visits(shop).label_by_app("counters:nobody.sock-shop"), {"v1": 1, "v2": 1}, CERTAIN)
