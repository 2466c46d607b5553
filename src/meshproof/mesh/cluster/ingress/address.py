"""Finds the address of the ingress gateway that a client outside the cluster can reach.

Source: Istio docs, "Ingress Gateways", section "Determining the ingress IP and ports".
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from meshproof.base import timeouts
from meshproof.base.errors import NotReady, UsageError
from meshproof.mesh.cluster.api.client import Kube, Object
from meshproof.mesh.cluster.api.port_forward import Forwarder
from meshproof.mesh.cluster.proxies.proxies import is_running
from meshproof.mesh.protocol import Address

HTTP_PORT = 80


@dataclass(frozen=True)
class IngressAddress:
    """Where to send requests, with a description: its type, and why better ones failed."""

    address: Address
    description: str


@contextlib.contextmanager
def open_ingress(
    kube: Kube, namespace: str, name: str, gateway_url: str, host: str
) -> Iterator[IngressAddress]:
    """Find the address of the ingress Service `name`, or use the user's `gateway_url`.

    `host` is the host name of the requests. A port-forward ends with the context. Raises NotReady
    without a Service or a running pod behind it, even with a URL: only those pods show when the
    gateway serves the rules.
    """
    given_address = _parse_url(gateway_url, host) if gateway_url else None
    service = kube.get("v1", "Service", name, namespace)
    pods = [pod for pod in list_service_pods(kube, service) if is_running(pod)] if service else []
    if service is None or not pods:
        raise NotReady(f"{kube.cluster_name}: {explain_missing_gateway(kube, namespace, name)}")
    if given_address:
        yield IngressAddress(given_address, f"{gateway_url}, as it was given")
        return
    rejections: list[str] = []
    for address, description in _direct_addresses(service, pods, host, rejections):
        if reason := _explain_unreachable(address):
            rejections.append(f"{description} {reason}")
        else:
            yield IngressAddress(
                address, "; ".join([f"{description} ({address.url})", *rejections])
            )
            return
    pod = pods[0]["metadata"]
    with Forwarder(
        kube,
        pod["name"],
        pod["namespace"],
        find_target_port(service, _find_http_port(service), pods[0]),
    ) as forwarder:
        local_address = forwarder.address
        description = "; ".join([f"port-forward to {pod['name']}", *rejections])
        yield IngressAddress(Address(local_address.host, local_address.port, host), description)


def explain_missing_gateway(kube: Kube, namespace: str, name: str) -> str:
    """Explain why no pod of the ingress gateway runs, by the Service `namespace`/`name`.

    If that is missing or has no selector: names the option --mesh-ingress, and Services that fit.
    """
    service = kube.get("v1", "Service", name, namespace)
    if service is None:
        reason = f"Service {namespace}/{name} is missing"
    elif not service["spec"].get("selector"):
        reason = f"Service {namespace}/{name} selects no pod"
    else:
        return f"no pod runs behind the ingress gateway {namespace}/{name}"
    candidates = [
        candidate
        for candidate in _list_gateway_services(kube)
        if candidate != f"{namespace}/{name}"
    ]
    hint = f": there is {', '.join(candidates)}" if candidates else ""
    return (
        f"no ingress gateway is known: {reason}; name the Service of yours with --mesh-ingress "
        f"NAMESPACE/NAME{hint}"
    )


def _list_gateway_services(kube: Kube) -> list[str]:
    """Return Services that look like ingress gateways; none if the user may not list Services.

    Istio's profiles label a gateway's pods `istio: ingressgateway`, its Helm chart `istio:
    ingress`.
    """
    try:
        services = kube.list("v1", "Service")
    except NotReady:
        return []
    return [
        f"{service['metadata']['namespace']}/{service['metadata']['name']}"
        for service in services
        if str((service["spec"].get("selector") or {}).get("istio", "")).startswith("ingress")
    ]


def _parse_url(url: str, host: str) -> Address:
    """Return the address of the user's URL. Raises UsageError if it is not an http URL."""
    url_parts = urlsplit(url if "//" in url else f"http://{url}")
    if url_parts.scheme != "http" or not url_parts.hostname:
        raise UsageError(f"--mesh-gateway-url {url}: expected http://HOST[:PORT]")
    return Address(url_parts.hostname, url_parts.port or HTTP_PORT, host)


def list_service_pods(kube: Kube, service: Object) -> list[Object]:
    """Return the pods that a Service selects; none if it has no selector."""
    labels = service["spec"].get("selector") or {}
    if not labels:
        return []
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    return kube.list("v1", "Pod", service["metadata"]["namespace"], selector)


def _find_http_port(service: Object) -> Object:
    """Return the HTTP port of a Service. Raises NotReady without one."""
    for port in service["spec"]["ports"]:
        if port["port"] == HTTP_PORT:
            http_port: Object = port
            return http_port
    raise NotReady(f"the ingress {service['metadata']['name']} has no port {HTTP_PORT}")


def find_target_port(service: Object, port: Object, pod: Object) -> int:
    """Return the port inside a pod that a Service's port leads to.

    A Service may use the name of a container port. Raises NotReady if no container has it.
    """
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    for container in pod["spec"]["containers"]:
        for container_port in container.get("ports") or ():
            if container_port.get("name") == target:
                return int(container_port["containerPort"])
    raise NotReady(
        f"Service {service['metadata']['name']} sends port {port['port']} to the port "
        f"'{target}', which no container of {pod['metadata']['name']} has"
    )


def _direct_addresses(
    service: Object, pods: list[Object], host: str, rejections: list[str]
) -> Iterator[tuple[Address, str]]:
    """Yield addresses without port-forward, best first; `rejections` get what is missing."""
    port = _find_http_port(service)
    load_balancers = (service.get("status", {}).get("loadBalancer") or {}).get("ingress") or []
    for load_balancer in load_balancers:
        yield (
            Address(load_balancer.get("ip") or load_balancer["hostname"], HTTP_PORT, host),
            "LoadBalancer",
        )
    kind = service["spec"]["type"]
    if not load_balancers:
        rejections.append(
            "LoadBalancer is pending" if kind == "LoadBalancer" else f"it is a {kind}"
        )
    if port.get("nodePort"):
        yield Address(pods[0]["status"]["hostIP"], int(port["nodePort"]), host), "NodePort"


def _explain_unreachable(address: Address) -> str:
    """Return why no connection to an address is possible; empty if one is."""
    try:
        socket.create_connection((address.host, address.port), timeouts.CONNECT).close()
    except OSError as error:
        return f"({address.url}) cannot be reached: {error}"
    return ""
