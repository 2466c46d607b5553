"""Makes a run's sidecars send the spans of tagged requests to the collector that is queried.

Changes only namespaces of the run. Source: Istio docs, "Telemetry API" and "Custom tags", "Mesh
Config" (extensionProviders); Envoy docs, "Draining" and "Listener manager" (statistics).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from meshproof.base import timeouts
from meshproof.base.names import CLUSTER_DOMAIN, RUN_HEADER
from meshproof.base.waiting import wait_for
from meshproof.mesh.cluster.api.client import Kube, Object
from meshproof.mesh.cluster.api.port_forward import get_from_pod
from meshproof.mesh.cluster.proxies.proxies import ADMIN_PORT, AT_ONCE, Proxy
from meshproof.mesh.envoy.listeners import RUN_TAG

NAME = "meshproof"
_INBOUND = "/config_dump?resource=dynamic_listeners&name_regex=^virtualInbound$"
#: Gauges of listeners and filter chains whose connections are still served as before a change.
_DRAINING = r"/stats?filter=^listener_manager\.total_(listeners|filter_chains)_draining$"
#: Kinds of extension providers that send spans to a service.
_KINDS = ("zipkin", "opentelemetry")


@dataclass(frozen=True)
class Plan:
    """Where the sidecars of a namespace send their spans.

    `provider` is an extension provider of the mesh's config, `collector` its cluster's name. If
    both are empty, none of the providers leads there: spans go where the mesh sends them anyway.
    """

    namespace: str
    labels: dict[str, str]
    provider: str = ""
    collector: str = ""


def apply_telemetry(kube: Kube, plan: Plan) -> None:
    """Apply the Telemetry of a plan; sidecars that start later have it from their beginning."""
    kube.apply(_make_telemetry(plan))


def send_spans(kube: Kube, plan: Plan, sidecars: Sequence[Proxy]) -> None:
    """Make the sidecars send spans as planned; return once every one of them does so.

    That includes the connections that were open before. Raises NotReady with the sidecars that
    are late.
    """
    apply_telemetry(kube, plan)
    _wait_for_all(
        kube,
        sidecars,
        _INBOUND,
        lambda dump: RUN_TAG in dump and plan.collector in dump,
        timeouts.CONFIG_SERVED,
        f"Telemetry {NAME} is not served by",
    )
    _wait_for_all(
        kube,
        sidecars,
        _DRAINING,
        lambda gauges: not is_draining(gauges),
        timeouts.DRAINED,
        "older connections are still served by",
    )


def _wait_for_all(
    kube: Kube,
    sidecars: Sequence[Proxy],
    path: str,
    is_reached: Callable[[str], bool],
    seconds: float,
    problem: str,
) -> None:
    """Wait until what each sidecar's admin interface answers to GET `path` is as wanted.

    Raises NotReady after that many seconds: the problem, then the sidecars that are left.
    """
    pending = list(sidecars)

    def ask(sidecar: Proxy) -> bool:
        return is_reached(get_from_pod(kube, sidecar.pod, sidecar.namespace, ADMIN_PORT, path))

    def poll() -> bool | None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(ask, pending))
        pending[:] = [
            sidecar for sidecar, is_done in zip(pending, answers, strict=True) if not is_done
        ]
        return None if pending else True

    wait_for(poll, seconds, lambda: f"{problem} {', '.join(map(str, pending))}", timeouts.POLL_SLOW)


def is_draining(gauges: str) -> bool:
    """Say whether one of the gauges, lines of `NAME: COUNT`, is above 0.

    A proxy that does not show them is taken as drained.
    """
    return any(int(line.rpartition(": ")[2]) for line in gauges.splitlines() if line)


def find_provider(kube: Kube, config_map: Object | None, service: Object | None) -> tuple[str, str]:
    """Return the extension provider of a service's pods and its cluster name, else empty.

    `config_map` holds the mesh's config.
    """
    import yaml

    if service is None:
        return "", ""
    mesh_config = (config_map or {}).get("data", {}).get("mesh", "")
    config: dict[str, Any] = yaml.safe_load(mesh_config) or {}
    selector = service["spec"].get("selector")
    for provider in config.get("extensionProviders") or ():
        for kind in _KINDS:
            spec = provider.get(kind)
            if not spec:
                continue
            host = str(spec["service"]).rpartition("/")[2]
            name, _, host_suffix = host.partition(".")
            namespace = host_suffix.removesuffix(CLUSTER_DOMAIN).rstrip(".").removesuffix(".svc")
            provider_service = kube.get("v1", "Service", name, namespace)
            if (
                provider_service is not None
                and provider_service["spec"].get("selector") == selector
            ):
                return str(provider["name"]), f"outbound|{spec['port']}||{host}"
    return "", ""


def _make_telemetry(plan: Plan) -> Object:
    """Return the Telemetry object of a plan's namespace.

    It makes spans of the requests that ask for them (TRACE_HEADER: Istio sets Envoy's
    client_sampling to 100), so that collectors of others are not filled with the run's visits.
    """
    tracing_spec: Object = {
        "randomSamplingPercentage": 0,
        "customTags": {RUN_TAG: {"header": {"name": RUN_HEADER}}},
    }
    if plan.provider:
        tracing_spec["providers"] = [{"name": plan.provider}]
    return {
        "apiVersion": "telemetry.istio.io/v1",
        "kind": "Telemetry",
        "metadata": {"name": NAME, "namespace": plan.namespace, "labels": plan.labels},
        "spec": {"tracing": [tracing_spec]},
    }
