"""Addons of a cluster: which Service is taken for one, and what is said when there is none."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from meshproof.base.errors import NotReady, UsageError
from meshproof.mesh.addons import jaeger, load_addon, zipkin
from meshproof.mesh.cluster.api.objects import RunScope
from meshproof.mesh.cluster.istio.istio import Istio
from meshproof.mesh.cluster.proxies.proxies import Proxy
from meshproof.mesh.cluster.run.addons import ClusterAddons, find_addon_service
from meshproof.mesh.protocol import Lack

ISTIO = Istio("istio-system", "", "1.31", (), "istio-system/istio-ingressgateway")


def service(
    name: str,
    *ports: dict[str, Any],
    namespace: str = "istio-system",
    app: str = "",
    selector: str = "",
) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": app} if app else {}},
        "spec": {"ports": list(ports), "selector": {"app": selector or app or name}},
    }


QUERY = {"name": "http-query", "port": 80, "targetPort": 16686}
COLLECTOR = {"name": "http-zipkin", "port": 9411}


class Cluster:
    """The Services of a cluster, and the namespaces of what is applied; no pod runs in it."""

    cluster_name = "context x"

    def __init__(self, *services: dict[str, Any]) -> None:
        self._services = list(services)
        self.applied: list[str] = []

    def get(self, api: str, kind: str, name: str, namespace: str) -> None:
        return None

    def apply(self, body: dict[str, Any]) -> None:
        self.applied.append(f"{body['kind']} in {body['metadata']['namespace']}")

    def list(self, api: str, kind: str, namespace: str = "", labels: str = "") -> list[Any]:
        return self._services if kind == "Service" else []


class NoPods:
    """A run whose pods have not started yet."""

    def proxies(self) -> list[Proxy]:
        return []


def addons(*services: dict[str, Any], **urls: str) -> ClusterAddons:
    return connect(Cluster(*services), **urls)


def connect(cluster: Cluster, **urls: str) -> ClusterAddons:
    return ClusterAddons(
        cluster,  # type: ignore[arg-type]
        ISTIO,
        RunScope("1"),
        urls,
        NoPods(),
        ExitStack(),
    )


def find_name(*services: dict[str, Any], of: str) -> str:
    best = find_addon_service(services, load_addon(of).CLUSTER_LOOKUP, "istio-system")
    return f"{best['metadata']['namespace']}/{best['metadata']['name']}" if best else ""


def test_istios_namespace_comes_first_then_any_other() -> None:
    elsewhere = service("prometheus", {"port": 9090}, namespace="monitoring")
    assert find_name(elsewhere, of="prometheus") == "monitoring/prometheus"
    assert find_name(elsewhere, service("prometheus", {"port": 9090}), of="prometheus") == (
        "istio-system/prometheus"
    )


def test_a_name_comes_before_a_label_and_the_port_must_fit() -> None:
    labelled = service("kiali-a", {"port": 20001}, app="kiali")
    assert find_name(labelled, of="service-graph") == "istio-system/kiali-a"
    assert find_name(labelled, service("kiali", {"port": 20001}), of="service-graph") == (
        "istio-system/kiali"
    )
    assert find_name(service("grafana", {"port": 9094, "name": "gossip"}), of="grafana") == ""


def test_the_collector_of_jaeger_is_neither_zipkin_nor_jaegers_api() -> None:
    sample = [
        service("jaeger-collector", COLLECTOR, app="jaeger"),
        service("zipkin", COLLECTOR, selector="jaeger"),
        service("tracing", QUERY, app="jaeger"),
    ]
    assert find_name(*sample, of="zipkin") == ""
    assert find_name(*sample, of="jaeger") == "istio-system/tracing"
    assert find_name(service("zipkin", COLLECTOR), of="zipkin") == "istio-system/zipkin"


def test_what_is_missing_says_where_it_was_looked_for_and_how_to_install_it() -> None:
    lack = addons().find_lack("zipkin")
    assert lack is not None
    assert (
        "no Service called zipkin or zipkin-query (or labelled app=zipkin) with port 9411"
        in lack.reason
    )
    assert zipkin.CLUSTER_LOOKUP.install in lack.how_to_get
    assert "--mesh-addon zipkin=URL" in lack.how_to_get
    assert addons(zipkin="off").find_lack("zipkin") == Lack("zipkin was switched off")
    assert addons(zipkin="http://zipkin.test").find_lack("zipkin") is None
    assert addons(service("zipkin", COLLECTOR)).find_lack("zipkin") is None


def test_a_service_without_endpoints_is_not_ready() -> None:
    cluster_addons = addons(service("tracing", QUERY))
    assert cluster_addons.find_lack("jaeger") is None
    with pytest.raises(NotReady, match="jaeger: Service istio-system/tracing has no endpoints"):
        cluster_addons.get_ready("jaeger")
    assert jaeger.CLUSTER_LOOKUP.needs_spans


def test_a_program_is_no_address_of_an_addon() -> None:
    with pytest.raises(UsageError, match="--mesh-addon grafana=/usr/sbin/grafana: in a cluster"):
        addons(grafana="/usr/sbin/grafana")


@pytest.mark.parametrize(
    ("checked", "applied"),
    [
        (("jaeger", "prometheus", "zipkin"), ["Telemetry in meshproof-1"]),
        (("prometheus",), []),
        (("zipkin",), []),
        ((), []),
    ],
)
def test_telemetry_is_there_before_the_pods(checked: tuple[str, ...], applied: list[str]) -> None:
    cluster = Cluster(service("tracing", QUERY))
    connect(cluster).apply_telemetry(checked)
    assert cluster.applied == applied


def test_a_refused_telemetry_is_told_by_the_tests_of_addons_alone() -> None:
    class Refusing(Cluster):
        def apply(self, body: dict[str, Any]) -> None:
            raise NotReady("telemetries.telemetry.istio.io is forbidden")

    cluster = Refusing(service("tracing", QUERY))
    connect(cluster).apply_telemetry(("jaeger",))
    with pytest.raises(NotReady, match="is forbidden"):
        connect(cluster).receive_spans("jaeger")
