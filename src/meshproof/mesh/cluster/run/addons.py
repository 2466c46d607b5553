"""The addons of a cluster: found by their Services, never started, queried for our traffic."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import Any, Protocol

from meshproof.base import timeouts
from meshproof.base.errors import MeshproofError, NotReady, UsageError
from meshproof.base.waiting import wait_answered
from meshproof.mesh.addons import OFF, Addon, ClusterLookup, load_addon, needs_spans
from meshproof.mesh.cluster.api.client import Kube, Object, labels_of
from meshproof.mesh.cluster.api.objects import RunScope
from meshproof.mesh.cluster.api.port_forward import Forwarder, get_from_pod
from meshproof.mesh.cluster.ingress.address import find_target_port, list_service_pods
from meshproof.mesh.cluster.istio.istio import Istio
from meshproof.mesh.cluster.proxies.proxies import ADMIN_PORT, Proxy, is_running
from meshproof.mesh.cluster.run import tracing
from meshproof.mesh.protocol import Lack

_APP_LABELS = ("app", "app.kubernetes.io/name")
_STATS = "/stats/prometheus?filter=istio_requests_total|upstream_rq_total"
#: The request counters of clients; the first is preferred.
_ISTIO_COUNTER, _ENVOY_COUNTER = "istio_requests_total", "envoy_cluster_upstream_rq_total"


class RunMesh(Protocol):
    """The part of a run's mesh that its addons need."""

    def proxies(self) -> list[Proxy]:
        """Return the sidecars of the run and the gateway."""


class RunView:
    """The run as addons see it; see `meshproof.mesh.addons.ClusterView`."""

    def __init__(self, kube: Kube, namespace: str, run: RunMesh) -> None:
        self._kube = kube
        self._run = run
        self.namespace = namespace

    def count_requests(self) -> int:
        """Return how many productpage requests the proxies themselves have counted."""
        texts = [
            get_from_pod(self._kube, proxy.pod, proxy.namespace, ADMIN_PORT, _STATS)
            for proxy in self._run.proxies()
        ]
        return sum_requests("\n".join(texts), self.namespace)

    def count_sidecars(self) -> int:
        """Return the number of sidecars in the productpage's namespace."""
        return len(self.inside())

    def inside(self) -> list[Proxy]:
        """Return the sidecars in the productpage's namespace."""
        return [proxy for proxy in self._run.proxies() if proxy.namespace == self.namespace]


def sum_requests(metrics: str, namespace: str) -> int:
    """Return a namespace's productpage requests in the proxies' Prometheus metrics."""
    counts = {_ISTIO_COUNTER: 0, _ENVOY_COUNTER: 0}
    istio_label = f'destination_service="productpage.{namespace}.'
    envoy_cluster = re.compile(rf'cluster_name="outbound\|\d+\|[^|"]*\|productpage\.{namespace}\.')
    for line in metrics.splitlines():
        name, _, labels_and_value = line.partition("{")
        is_for_productpage = (
            name == _ISTIO_COUNTER
            and istio_label in labels_and_value
            and 'reporter="source"' in labels_and_value
        ) or (name == _ENVOY_COUNTER and envoy_cluster.search(labels_and_value))
        if is_for_productpage:
            counts[name] += int(float(labels_and_value.rpartition("} ")[2]))
    return counts[_ISTIO_COUNTER] or counts[_ENVOY_COUNTER]


class ClusterAddons:
    """The addons of one cluster, by name. Port-forwards end with `stack`."""

    def __init__(
        self,
        kube: Kube,
        istio: Istio,
        scope: RunScope,
        addon_urls: dict[str, str],
        run: RunMesh,
        stack: contextlib.ExitStack,
    ) -> None:
        self._kube = kube
        self._istio = istio
        self._scope = scope
        self._stack = stack
        self._view = RunView(kube, scope.namespace_for("default"), run)
        self._urls = addon_urls
        self._ready: dict[str, Any] = {}
        for name, url in addon_urls.items():
            if url != OFF and not url.startswith(("http://", "https://")):
                raise UsageError(f"--mesh-addon {name}={url}: in a cluster, expected a URL or off")

    def find_lack(self, name: str) -> Lack | None:
        """Return why an addon is missing, what was searched, and how to install it."""
        url = self._urls.get(name)
        if url == OFF:
            return Lack(f"{name} was switched off")
        if url or self._find_service(name) is not None:
            return None
        in_cluster: ClusterLookup = load_addon(name).CLUSTER_LOOKUP
        return Lack(
            f"{name} is not in this cluster: no Service called {' or '.join(in_cluster.services)} "
            f"(or labelled app={in_cluster.services[0]}) with port "
            f"{' or '.join(map(str, in_cluster.ports))} in any namespace",
            f"Install it with `{in_cluster.install}` from the release of Istio, or say where it "
            f"is: --mesh-addon {name}=URL",
        )

    def get_ready(self, name: str, seconds: float = timeouts.ADDON_ANSWERS) -> Addon:
        """Return an addon once it answers.

        Raises NotReady if no pod runs behind its Service, or if it does not answer in time.
        """
        if name not in self._ready:
            service = self._find_used_service(name)
            url = self._forward_port(name, service) if service else self._urls[name]
            self._ready[name] = load_addon(name).ClusterAddon(url.rstrip("/"), self._view)
        addon = self._ready[name]
        wait_answered(
            addon.require_answer,
            seconds,
            lambda last: f"{name} does not answer at {addon.url}: {last}",
        )
        ready: Addon = addon
        return ready

    def _find_used_service(self, name: str) -> Object | None:
        """Return the Service of an addon, None if the user gave a URL instead."""
        return None if self._urls.get(name) else self._find_service(name)

    def apply_telemetry(self, names: Sequence[str]) -> None:
        """Let sidecars that start now send spans to the first of `names` that takes some.

        No connection of theirs is then older than that. What goes wrong is told by `receive_spans`.
        """
        receiver = next((name for name in names if needs_spans(name)), "")
        if receiver and self.find_lack(receiver) is None:
            with contextlib.suppress(MeshproofError):
                tracing.apply_telemetry(self._kube, self._make_plan(receiver))

    def receive_spans(self, name: str) -> None:
        """Let the run's sidecars send their spans to the addon's Service."""
        tracing.send_spans(self._kube, self._make_plan(name), self._view.inside())

    def _make_plan(self, name: str) -> tracing.Plan:
        """Return where the run's sidecars are to send spans for an addon."""
        revision = self._istio.revision_suffix
        config = self._kube.get(
            "v1",
            "ConfigMap",
            f"istio-{revision}" if revision else "istio",
            self._istio.namespace,
        )
        provider, collector = tracing.find_provider(
            self._kube, config, self._find_used_service(name)
        )
        return tracing.Plan(self._view.namespace, self._scope.labels, provider, collector)

    def _forward_port(self, name: str, service: Object) -> str:
        """Return the URL of a port-forward to a pod behind the addon's Service."""
        metadata = service["metadata"]
        service_name = f"Service {metadata['namespace']}/{metadata['name']}"
        pods = [pod for pod in list_service_pods(self._kube, service) if is_running(pod)]
        if not pods:
            raise NotReady(f"{name}: {service_name} has no endpoints: no pod runs behind it")
        pod = pods[0]
        port = (
            _find_port(service, load_addon(name).CLUSTER_LOOKUP.ports)
            or service["spec"]["ports"][0]
        )
        target = find_target_port(service, port, pod)
        pod_metadata = pod["metadata"]
        forwarder = Forwarder(self._kube, pod_metadata["name"], pod_metadata["namespace"], target)
        return self._stack.enter_context(forwarder).address.url

    def _find_service(self, name: str) -> Object | None:
        """Return an addon's Service: in Istio's namespace first, then in any other."""
        in_cluster: ClusterLookup = load_addon(name).CLUSTER_LOOKUP
        namespace = self._istio.namespace
        return find_addon_service(self._kube.list("v1", "Service"), in_cluster, namespace)


def find_addon_service(
    services: Sequence[Object], in_cluster: ClusterLookup, first_namespace: str
) -> Object | None:
    """Return the Service that fits an addon best, by name, else by label; None without one.

    Services of `first_namespace` come first.
    """

    def rank(service: Object) -> tuple[bool, int, str]:
        metadata = service["metadata"]
        names = list(in_cluster.services)
        name_rank = names.index(metadata["name"]) if metadata["name"] in names else len(names)
        return (
            metadata["namespace"] != first_namespace,
            name_rank,
            f"{metadata['namespace']}/{metadata['name']}",
        )

    candidates = [service for service in services if _fits_addon(service, in_cluster)]
    return min(candidates, key=rank, default=None)


def _fits_addon(service: Object, in_cluster: ClusterLookup) -> bool:
    """Say whether a Service has a name or label of the addon, and one of its ports."""
    selector = service["spec"].get("selector") or {}
    if not selector or set(selector.values()) & set(in_cluster.excluded_selectors):
        return False
    labels = labels_of(service)
    is_named = service["metadata"]["name"] in in_cluster.services or any(
        labels.get(label) in in_cluster.services for label in _APP_LABELS
    )
    return is_named and _find_port(service, in_cluster.ports) is not None


def _find_port(service: Object, port_choices: Sequence[int | str]) -> Object | None:
    """Return the Service's port for the first choice that it has, by number or name."""
    for choice in port_choices:
        for port in service["spec"].get("ports") or ():
            if choice in (port["port"], port.get("targetPort"), port.get("name")):
                matching_port: Object = port
                return matching_port
    return None
