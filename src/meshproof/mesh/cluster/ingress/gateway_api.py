"""A Gateway of Gateway API as ingress: finds the proxy that the control plane starts for it.

Source: Istio docs, "Kubernetes Gateway API", section "Automated deployment": a Deployment and a
Service in the Gateway's namespace, with its labels and one that names it.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.base.waiting import wait_for
from meshproof.mesh.cluster.api.client import Kube, Object
from meshproof.mesh.cluster.api.objects import RunObject

GROUP = "gateway.networking.k8s.io"
#: The label of a Gateway's objects; its value is the Gateway's name.
NAME_LABEL = f"{GROUP}/gateway-name"


def require_supported(kube: Kube, run_objects: Sequence[RunObject]) -> None:
    """Raise NotReady for an object of Gateway API if the cluster does not serve that API."""
    for run_object in run_objects:
        version = str(run_object.body["apiVersion"])
        if version.startswith(f"{GROUP}/") and not kube.has_kind(version, run_object.kind):
            raise NotReady(
                f"{run_object.at}: {kube.cluster_name} does not know {run_object.kind} of "
                f"{version}: it lacks Gateway API, whose definitions are applied once for a "
                "cluster (Gateway API docs, "
                '"Installing Gateway API")'
            )


def wait_for_ingress(kube: Kube, run_objects: Sequence[RunObject]) -> str:
    """Return namespace/name of the Service of the first Gateway; empty if there is no Gateway.

    Waits until the control plane has created it. Raises NotReady with the Gateway's conditions when
    it does not.
    """
    gateways = [
        run_object
        for run_object in run_objects
        if run_object.kind == "Gateway"
        and str(run_object.body["apiVersion"]).startswith(f"{GROUP}/")
    ]
    if not gateways:
        return ""
    gateway, labels = gateways[0], f"{NAME_LABEL}={gateways[0].name}"

    def poll() -> Object | None:
        services = kube.list("v1", "Service", gateway.namespace, labels)
        return services[0] if services and _is_programmed(_read_gateway(kube, gateway)) else None

    def explain() -> str:
        conditions = (
            "; ".join(_describe_conditions(_read_gateway(kube, gateway)))
            or "the cluster says nothing of it"
        )
        return (
            f"{gateway.at}: Gateway {gateway.name} has no proxy after {timeouts.CONFIG_SERVED:.0f} "
            f"s: {conditions}"
        )

    service = wait_for(poll, timeouts.CONFIG_SERVED, explain, timeouts.POLL_SLOW)
    return f"{gateway.namespace}/{service['metadata']['name']}"


def _read_gateway(kube: Kube, gateway: RunObject) -> Object:
    """Return the Gateway from the cluster; empty if it is gone."""
    return kube.get(*gateway.key[:2], gateway.name, gateway.namespace) or {}


def _is_programmed(gateway: Object) -> bool:
    """Say whether every listener is programmed.

    The Gateway itself is not while it waits for an address that no load balancer assigns.
    """
    listeners = (gateway.get("status") or {}).get("listeners") or ()
    return bool(listeners) and all(
        any(
            condition["type"] == "Programmed" and condition["status"] == "True"
            for condition in listener["conditions"]
        )
        for listener in listeners
    )


def _describe_conditions(gateway: Object) -> list[str]:
    """Return the unmet conditions of a Gateway with their messages."""
    conditions = (gateway.get("status") or {}).get("conditions") or ()
    return [
        f"{condition['type']}: {condition['message']}"
        for condition in conditions
        if condition["status"] != "True"
    ]
