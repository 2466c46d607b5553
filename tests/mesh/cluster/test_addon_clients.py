"""What each addon of a cluster is asked, and when it is not enough; see contract.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from meshproof.base.errors import NotReady
from meshproof.mesh.addons import UNCOUNTED, list_addons, load_addon, service_graph
from meshproof.mesh.addons import grafana as grafana_addon
from meshproof.mesh.addons import jaeger as jaeger_addon
from meshproof.mesh.addons import prometheus as prometheus_addon
from meshproof.mesh.addons import zipkin as zipkin_addon
from meshproof.mesh.cluster.run.addons import sum_requests
from tests.mesh.cluster.contract import (
    Answers,
    grafana,
    jaeger,
    kiali,
    prometheus,
    served,
    servicegraph,
    zipkin,
)

TAG = "check-1"
WHOLE = ["productpage.ours", "details.ours", "reviews.ours", "ratings.ours"]
EDGES = {("productpage", "details"): "0.33", ("productpage", "reviews"): "0.67"}
NODES = {
    ("istio-ingressgateway (gw)", "productpage (productpage-v1)"): "1.0",
    ("productpage (productpage-v1)", "details (details-v1)"): "0.5",
    ("productpage (productpage-v1)", "reviews (reviews-v1)"): "0.2",
    ("productpage (productpage-v1)", "reviews (reviews-v3)"): "0.3",
}


class Run:
    """The run that the addons are asked about."""

    namespace = "ours"

    def count_requests(self) -> int:
        return 40

    def count_sidecars(self) -> int:
        return 6


@pytest.fixture
def serve() -> Iterator[Callable[[Answers], str]]:
    with ExitStack() as stack:
        yield lambda answers: stack.enter_context(served(answers))


Serve = Callable[[Answers], str]


def test_every_addon_has_a_client() -> None:
    for name in list_addons():
        assert load_addon(name).CLUSTER_LOOKUP.services
        assert load_addon(name).ClusterAddon("http://x", Run()).url == "http://x"


def test_prometheus_counts_as_clients_do(serve: Serve) -> None:
    url = serve(prometheus({"count(up": 6, "istio_requests_total": 60, "vector(1)": 1}))
    addon = prometheus_addon.ClusterAddon(url, Run())
    addon.require_answer()
    assert addon.read_baseline() == 40
    evidence = addon.read_evidence(TAG)
    assert evidence.count == 60
    assert "6 of 6 sidecars of namespace ours are scraped" in evidence.description


def test_a_prometheus_that_scrapes_others_is_red(serve: Serve) -> None:
    evidence = prometheus_addon.ClusterAddon(serve(prometheus({})), Run()).read_evidence(TAG)
    assert evidence.count == 0
    assert "0 of 6 sidecars" in evidence.description


def test_grafana_answers_through_its_data_source(serve: Serve) -> None:
    addon = grafana_addon.ClusterAddon(serve(grafana(60, grafana_addon.DASHBOARDS)), Run())
    addon.require_answer()
    assert (addon.read_baseline(), addon.read_evidence(TAG).count) == (40, 60)


def test_a_grafana_without_dashboards_is_red(serve: Serve) -> None:
    addon = grafana_addon.ClusterAddon(serve(grafana(60, ("Istio Mesh Dashboard", "Nodes"))), Run())
    evidence = addon.read_evidence(TAG)
    assert evidence.count == 0
    assert (
        "dashboards are missing: Istio Service Dashboard, Istio Workload Dashboard"
        in evidence.description
    )


def test_a_grafana_without_our_traffic_or_a_data_source_is_red(serve: Serve) -> None:
    answers = grafana(None, grafana_addon.DASHBOARDS)
    assert grafana_addon.ClusterAddon(serve(answers), Run()).read_evidence(TAG).count == 0
    evidence = grafana_addon.ClusterAddon(
        serve({**answers, "/api/datasources": lambda *_: []}), Run()
    ).read_evidence(TAG)
    assert (evidence.count, evidence.description) == (0, "it has no data source of type prometheus")


def test_a_grafana_that_is_not_healthy_is_red(serve: Serve) -> None:
    with pytest.raises(NotReady, match="not healthy"):
        grafana_addon.ClusterAddon(serve(grafana(60, (), "failing")), Run()).require_answer()


@pytest.mark.parametrize("answers", [kiali(EDGES), servicegraph(NODES)])
def test_a_graph_with_every_edge_is_enough(serve: Serve, answers: Answers) -> None:
    addon = service_graph.ClusterAddon(serve(answers), Run())
    addon.require_answer()
    assert (addon.read_baseline(), addon.read_evidence(TAG).count) == (0, UNCOUNTED)


@pytest.mark.parametrize(
    "answers",
    [
        kiali({**EDGES, ("productpage", "reviews"): "0.00"}),
        kiali({("productpage", "details"): "1.0"}),
        servicegraph({ends: rate for ends, rate in NODES.items() if "reviews" not in ends[1]}),
    ],
)
def test_a_graph_without_an_edge_is_red(serve: Serve, answers: Answers) -> None:
    addon = service_graph.ClusterAddon(serve(answers), Run())
    addon.require_answer()
    evidence = addon.read_evidence(TAG)
    assert evidence.count == 0
    assert evidence.description == "no traffic on productpage -> reviews in namespace ours"


def test_a_graph_of_another_namespace_is_red(serve: Serve) -> None:
    addon = service_graph.ClusterAddon(serve(kiali(EDGES, "theirs")), Run())
    addon.require_answer()
    assert addon.read_evidence(TAG).count == 0


def test_what_is_no_graph_is_named(serve: Serve) -> None:
    for answers in (prometheus({}), servicegraph(NODES, picture=False)):
        with pytest.raises(NotReady, match="neither Kiali nor ServiceGraph answers"):
            service_graph.ClusterAddon(serve(answers), Run()).require_answer()


def test_traces_begin_at_the_productpage(serve: Serve) -> None:
    traces = [["istio-ingressgateway.istio-system", *WHOLE], WHOLE]
    for addon in (
        zipkin_addon.ClusterAddon(serve(zipkin(traces, TAG)), Run()),
        jaeger_addon.ClusterAddon(serve(jaeger(traces, TAG)), Run()),
        jaeger_addon.ClusterAddon(serve(jaeger(traces, TAG, base="")), Run()),
    ):
        addon.require_answer()
        assert (addon.read_baseline(), addon.read_evidence(TAG).count) == (0, 2)
        assert addon.read_evidence("check-2").count == 0


def test_a_trace_that_breaks_off_is_red(serve: Serve) -> None:
    traces = [WHOLE, WHOLE[:2]]
    for addon in (
        zipkin_addon.ClusterAddon(serve(zipkin(traces, TAG)), Run()),
        jaeger_addon.ClusterAddon(serve(jaeger(traces, TAG, base="")), Run()),
    ):
        addon.require_answer()
        evidence = addon.read_evidence(TAG)
        assert evidence.count == 1
        assert "spans are missing from: reviews" in evidence.description


def test_a_jaeger_that_does_not_answer_is_named(serve: Serve) -> None:
    with pytest.raises(NotReady, match="/jaeger/api/services"):
        jaeger_addon.ClusterAddon(serve({}), Run()).require_answer()


CLUSTER = 'cluster_name="outbound|9080||productpage.ours.svc.cluster.local"'
ISTIO = 'reporter="{}",destination_service="productpage.ours.svc.cluster.local"'


def test_requests_are_counted_from_the_metrics_of_proxies() -> None:
    envoy = [
        f"envoy_cluster_upstream_rq_total{{{CLUSTER}}} 24",
        f"envoy_cluster_upstream_rq_total{{{CLUSTER.replace('||', '|v1|')}}} 3",
        f"envoy_cluster_upstream_rq_total{{{CLUSTER.replace('ours', 'theirs')}}} 900",
        f"envoy_cluster_upstream_rq_total{{{CLUSTER.replace('productpage', 'reviews')}}} 900",
        f"envoy_cluster_upstream_rq_pending_total{{{CLUSTER}}} 900",
    ]
    assert sum_requests("\n".join(["# TYPE x counter", *envoy]), "ours") == 27
    istio = [
        f"istio_requests_total{{{ISTIO.format('source')}}} 20",
        f"istio_requests_total{{{ISTIO.format('destination')}}} 900",
    ]
    assert sum_requests("\n".join([*envoy, *istio]), "ours") == 20
    assert sum_requests("", "ours") == 0
