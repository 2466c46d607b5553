"""The objects that istiod reads: services and pods as ServiceEntry and Sidecar, and the rules.

Nothing is intercepted on loopback, so a Sidecar says which listeners a proxy opens there.
Kubernetes takes no address of loopback as an endpoint of a Service: a ServiceEntry with the
Service's full name stands for it. Sources: Istio reference, ServiceEntry, Sidecar, Gateway,
PeerAuthentication.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from meshproof.base.names import ROOT_NAMESPACE, Labels
from meshproof.documents.manifest import Document
from meshproof.mesh.istiod.api import Object
from meshproof.mesh.istiod.definitions import KINDS

NETWORKING = "networking.istio.io"
#: The namespace of the objects that are ours alone.
OWN_NAMESPACE = "meshproof-run"
#: The label by which a Gateway finds the one ingress of the run.
INGRESS_LABELS: Labels = (("istio", "ingressgateway"), ("meshproof.run/ingress", "true"))
#: The label by which a Sidecar finds the proxy that it is for.
PROXY_LABEL = "meshproof.run/proxy"
#: The ports of a pod's address where its sidecar is an HTTP proxy for calls to port 80 of services
#: (for other ports istiod's listener of that kind knows no host), and where the mesh reaches it.
PROXY_PORT, INBOUND_PORT = 15001, 15006
#: Where a proxy listens for nobody, so that it asks for the marker's route.
MARKER_PORT = 15999
_ROUTING_KINDS = ("DestinationRule", "Gateway", "VirtualService")
#: Host, port and names of the marker, whose route says which generation of rules is served.
_MARKER_NAME, _MARKER_HOST = "generation", "generation.meshproof.run"


@dataclass(frozen=True)
class Placed:
    """An object to apply, and the place of its rule for messages (empty: it is ours)."""

    body: Object
    at: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Kind, namespace and name."""
        metadata = self.body["metadata"]
        return self.body["kind"], metadata["namespace"], metadata["name"]


@dataclass(frozen=True)
class EndpointAddress:
    """Where a workload of a service answers: an address, a port for each of the service's ports."""

    address: str
    ports: Mapping[int, int]
    labels: Labels


def make_object(kind: str, namespace: str, name: str, spec: Object) -> Object:
    """Return an object of one of Istio's kinds, in its version v1."""
    group = next(group for group, kinds in KINDS.items() if kind in kinds)
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": f"{group}/v1", "kind": kind, "metadata": metadata, "spec": spec}


def make_service_entry(
    namespace: str, name: str, host: str, ports: Iterable[int], endpoints: Iterable[EndpointAddress]
) -> Object:
    """Return the ServiceEntry that stands for a service; all its ports are HTTP."""
    spec = {
        "hosts": [host],
        "location": "MESH_INTERNAL",
        "resolution": "STATIC",
        "ports": [{"number": port, "name": _name_port(port), "protocol": "HTTP"} for port in ports],
        "endpoints": [
            {
                "address": endpoint.address,
                "ports": {_name_port(port): target for port, target in endpoint.ports.items()},
                "labels": dict(endpoint.labels),
            }
            for endpoint in endpoints
        ],
    }
    return make_object("ServiceEntry", namespace, name, spec)


def _name_port(port: int) -> str:
    """Return the name of a service's port; it says the protocol."""
    return f"http-{port}"


def make_sidecar(
    namespace: str,
    name: str,
    address: str,
    ports: Iterable[int],
    app_port: int | None = None,
) -> Object:
    """Return the Sidecar of one proxy: the listeners that it opens at its address.

    `ports` are those of services that it listens on for calls, or PROXY_PORT in place of 80. At
    INBOUND_PORT the mesh reaches the app, which listens on `app_port` of 127.0.0.1.
    """
    spec: Object = {
        "workloadSelector": {"labels": {PROXY_LABEL: name}},
        "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
        "egress": [
            {
                "bind": address,
                "captureMode": "NONE",
                "hosts": ["*/*"],
                "port": {"number": port, "name": f"out-{port}", "protocol": _choose_protocol(port)},
            }
            for port in (*ports, MARKER_PORT)
        ],
    }
    if app_port is not None:
        spec["ingress"] = [
            {
                "bind": address,
                "captureMode": "NONE",
                "defaultEndpoint": f"127.0.0.1:{app_port}",
                "port": {"number": INBOUND_PORT, "name": "http-in", "protocol": "HTTP"},
            }
        ]
    return make_object("Sidecar", namespace, name, spec)


def _choose_protocol(port: int) -> str:
    """Return the protocol of a listener for calls."""
    return "HTTP_PROXY" if port == PROXY_PORT else "HTTP"


def make_fixed_objects(ingress_address: str) -> list[Placed]:
    """Return the objects that every run has: no mTLS, and what the marker needs."""
    policy = make_object(
        "PeerAuthentication", ROOT_NAMESPACE, "default", {"mtls": {"mode": "DISABLE"}}
    )
    host = make_service_entry(OWN_NAMESPACE, _MARKER_NAME, _MARKER_HOST, [MARKER_PORT], [])
    server = {
        "bind": ingress_address,
        "hosts": [_MARKER_HOST],
        "port": {"number": MARKER_PORT, "name": "http", "protocol": "HTTP"},
    }
    gateway = make_object(
        "Gateway",
        OWN_NAMESPACE,
        _MARKER_NAME,
        {"selector": dict(INGRESS_LABELS), "servers": [server]},
    )
    return [Placed(policy), Placed(host), Placed(gateway)]


def format_generation(number: int) -> str:
    """Return the name of the marker's route in one generation of rules."""
    return f"meshproof-generation-{number}."


def make_marker(number: int) -> Placed:
    """Return the VirtualService that every proxy has once it has a generation of rules."""
    route = {"name": format_generation(number), "directResponse": {"status": 204}}
    spec = {
        "hosts": [_MARKER_HOST],
        "gateways": ["mesh", f"{OWN_NAMESPACE}/{_MARKER_NAME}"],
        "http": [route],
    }
    return Placed(make_object("VirtualService", OWN_NAMESPACE, _MARKER_NAME, spec))


def check_kinds(documents: Iterable[Document]) -> None:
    """Raise BadRules for the first rule of a kind that this mesh does not serve yet."""
    for document in documents:
        if document.group != NETWORKING or document.kind not in _ROUTING_KINDS:
            raise document.at.unsupported(
                f"{document.kind} of {document.api_version}: the istiod mesh does not serve it yet "
                f"(it takes {', '.join(_ROUTING_KINDS)} of {NETWORKING})"
            )


def read_rules(documents: Iterable[Document], ingress_address: str) -> list[Placed]:
    """Return the rules in documents as they are, but Gateways at the one ingress of the run.

    Raises BadRules for a kind that this mesh does not serve yet.
    """
    documents = list(documents)
    check_kinds(documents)
    placed = []
    for document in documents:
        spec = document.spec.to_python()
        if document.kind == "Gateway":
            spec = _move_gateway(spec, ingress_address)
        metadata = {"name": document.name, "namespace": document.namespace}
        body = {
            "apiVersion": document.api_version,
            "kind": document.kind,
            "metadata": metadata,
            "spec": spec,
        }
        placed.append(Placed(body, str(document.at)))
    return placed


def _move_gateway(spec: Object, address: str) -> Object:
    """Return a Gateway's spec for the ingress of the run, at its address of loopback."""
    servers = [{**server, "bind": address} for server in spec["servers"]]
    return {**spec, "selector": dict(INGRESS_LABELS), "servers": servers}
