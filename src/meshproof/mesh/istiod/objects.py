"""The objects that istiod reads: services and pods as ServiceEntry and Sidecar, and the rules.

Nothing is intercepted on loopback, so a Sidecar says which listeners a proxy opens there.
Kubernetes takes no address of loopback as an endpoint of a Service: a ServiceEntry with the
Service's full name stands for it. Sources: Istio reference, ServiceEntry, Sidecar, Gateway,
PeerAuthentication.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from meshproof.base.names import CLUSTER_DOMAIN, MESH, ROOT_NAMESPACE, Labels
from meshproof.documents.manifest import Document
from meshproof.mesh.istiod.api import Object
from meshproof.mesh.istiod.definitions import GATEWAY_API, KINDS
from meshproof.mesh.istiod.gateway_certificates import GatewayCertificates
from meshproof.oracle.conditions import Call
from meshproof.rules.model import INGRESS, Gateway, Proxy

NETWORKING = "networking.istio.io"
#: The namespace of the objects that are ours alone.
OWN_NAMESPACE = "meshproof-run"
ROUTE_KINDS = ("GRPCRoute", "HTTPRoute")
#: The name of the ingress gateway for all Gateways of Istio.
INGRESS_NAME = "istio-ingressgateway"
#: The label of every proxy for gateways, and those by which Gateways of Istio find their one.
ROUTER_LABEL = ("meshproof.run/router", "true")
INGRESS_LABELS: Labels = (("istio", "ingressgateway"), ROUTER_LABEL)
#: The label that istiod itself gives to the pods of a Gateway of Gateway API.
GATEWAY_NAME_LABEL = "gateway.networking.k8s.io/gateway-name"
#: The label by which a Sidecar finds the proxy that it is for.
PROXY_LABEL = "meshproof.run/proxy"
#: The ports of a pod's address where its sidecar is an HTTP proxy for calls to port 80 of services
#: (for other ports istiod's listener of that kind knows no host), and where the mesh reaches it.
PROXY_PORT, INBOUND_PORT = 15001, 15006
#: Where a proxy listens for nobody, so that it asks for the marker's route.
MARKER_PORT = 15999
#: Where TLS ends at a server, and the fields that name a certificate of the user's.
_TLS_MODES = ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL")
#: Fields of DestinationRules that are left out.
_UNPROVEN_KEYS = ("consistentHash", "outlierDetection")
_CERTIFICATE_FIELDS = (
    *("serverCertificate", "privateKey", "caCertificates", "credentialName", "credentialNames"),
    *("caCertCredentialName", "tlsCertificates", "caCrl", "subjectAltNames"),
    *("verifyCertificateHash", "verifyCertificateSpki"),
)
#: The kinds of rules that the mesh serves, by group.
_ROUTING_KINDS = {
    NETWORKING: ("DestinationRule", "Gateway", "VirtualService"),
    GATEWAY_API: ("Gateway", "GRPCRoute", "HTTPRoute", "ReferenceGrant"),
}
#: Host, port and names of the marker, whose route says which generation of rules is served.
_MARKER_NAME, _MARKER_HOST = "generation", "generation.meshproof.run"


#: Kind, namespace and name; a kind of Gateway API with its group, as there are two Gateways.
Key = tuple[str, str, str]


def make_key(body: Object) -> Key:
    """Return the key of an object."""
    kind, metadata = body["kind"], body["metadata"]
    if body["apiVersion"].startswith(GATEWAY_API):
        kind = f"{kind}.{GATEWAY_API}"
    return kind, metadata.get("namespace", ""), metadata["name"]


@dataclass(frozen=True)
class Placed:
    """An object to apply, and the place of its rule for messages (empty: it is ours).

    `created` is when it was made where it comes from, "" if the rule does not say.
    """

    body: Object
    at: str = ""
    created: str = ""

    @property
    def key(self) -> Key:
        """What no other object has."""
        return make_key(self.body)

    @property
    def host(self) -> str:
        """The host of a Service; empty for other kinds."""
        kind, namespace, name = self.key
        return f"{name}.{namespace}.{CLUSTER_DOMAIN}" if kind == "Service" else ""

    @property
    def is_secret(self) -> bool:
        """Whether it is a Secret, which istiod does not list among its configs."""
        return self.key[0] == "Secret"

    @property
    def is_route(self) -> bool:
        """Whether it is a route of Gateway API, which istiod reads together with what it names."""
        return self.body["apiVersion"].startswith(GATEWAY_API) and self.body["kind"] in ROUTE_KINDS

    @property
    def has_status(self) -> bool:
        """Whether istiod writes a status that says what it made of the object."""
        return self.is_route or self.key[0] == f"Gateway.{GATEWAY_API}"


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
    imports: Mapping[int, Sequence[str]] = MappingProxyType({}),
    other_imports: Sequence[str] = (),
) -> Object:
    """Return the Sidecar of one proxy: the listeners that it opens at its address.

    `ports` are those of services that it listens on for calls, or PROXY_PORT in place of 80. At
    INBOUND_PORT the mesh reaches the app, which listens on `app_port` of 127.0.0.1. `imports` are
    what calls of a port may reach: everything, unless they say. `other_imports` are what the proxy
    knows of other ports.
    """
    spec: Object = {
        "workloadSelector": {"labels": {PROXY_LABEL: name}},
        "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
        "egress": [
            {
                "bind": address,
                "captureMode": "NONE",
                "hosts": list(imports.get(port, ["*/*"])),
                "port": {"number": port, "name": f"out-{port}", "protocol": _choose_protocol(port)},
            }
            for port in (*ports, MARKER_PORT)
        ],
    }
    if other_imports:
        # A listener with a port brings the clusters of that port alone, this one all the others
        # that its rules lead to. Its own ports are taken by the listeners before it.
        spec["egress"].append(
            {"bind": address, "captureMode": "NONE", "hosts": list(other_imports)}
        )
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


def make_fixed_objects() -> list[Placed]:
    """Return the objects that every run has: no mTLS, and what the marker needs."""
    policy = make_object(
        "PeerAuthentication", ROOT_NAMESPACE, "default", {"mtls": {"mode": "DISABLE"}}
    )
    host = make_service_entry(OWN_NAMESPACE, _MARKER_NAME, _MARKER_HOST, [MARKER_PORT], [])
    server = {
        "hosts": [_MARKER_HOST],
        "port": {"number": MARKER_PORT, "name": "http", "protocol": "HTTP"},
    }
    gateway = make_object(
        "Gateway",
        OWN_NAMESPACE,
        _MARKER_NAME,
        {"selector": dict([ROUTER_LABEL]), "servers": [server]},
    )
    return [Placed(policy), Placed(host), Placed(gateway)]


def make_service(namespace: str, name: str, ports: Iterable[int]) -> Placed:
    """Return the Service that routes of Gateway API look for; its endpoints are the entry's."""
    spec = {"ports": [{"name": _name_port(port), "port": port} for port in ports]}
    metadata = {"name": name, "namespace": namespace}
    return Placed({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})


def name_gateway_service(gateway: str) -> str:
    """Return the name of the service of a Gateway of Gateway API, as istiod itself names it."""
    return f"{gateway}-istio"


def make_address_patch(namespace: str, name: str, labels: Labels, address: str) -> Object:
    """Return what has the listeners of a proxy for gateways at its own address of loopback.

    Gateways of Gateway API have no field for it: istiod would have them at every address of this
    machine.
    """
    listener = {"address": {"socket_address": {"address": address}}}
    patch = {
        "applyTo": "LISTENER",
        "match": {"context": "GATEWAY"},
        "patch": {"operation": "MERGE", "value": listener},
    }
    spec = {"workloadSelector": {"labels": dict(labels)}, "configPatches": [patch]}
    body = make_object("EnvoyFilter", namespace, f"{name}-address", spec)
    return {**body, "apiVersion": f"{NETWORKING}/v1alpha3"}


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
        if document.kind not in _ROUTING_KINDS.get(document.group, ()):
            served = "; ".join(
                f"{', '.join(kinds)} of {group}" for group, kinds in _ROUTING_KINDS.items()
            )
            raise document.at.unsupported(
                f"{document.kind} of {document.api_version}: the istiod mesh does not serve it yet "
                f"(it takes {served})"
            )


def is_served(proxy: Proxy) -> bool:
    """Say whether the mesh has a proxy: the usual one, and one of a Gateway of Gateway API."""
    return not proxy.name or GATEWAY_NAME_LABEL in dict(proxy.labels)


def explain_unserved(call: Call) -> str:
    """Return why the one ingress of the run does not serve a call; empty if it does."""
    if call.gateway == MESH:
        return ""
    if not is_served(call.proxy):
        return (
            f"a Gateway for proxies with {call.proxy.name}: the istiod mesh has the usual one alone"
        )
    if call.tls and call.proxy.name:
        return "TLS at a Gateway of Gateway API: the istiod mesh does not serve it yet"
    return ""


def read_rules(
    documents: Iterable[Document],
    ingress_address: str,
    certificates: GatewayCertificates | None = None,
    gateways: Iterable[Gateway] = (),
) -> list[Placed]:
    """Return the rules in documents as they are, but Gateways at the one ingress of the run.

    Their servers where TLS ends have `certificates`, as Secrets; without any they are left out.
    `gateways` are those of the documents in the model: another selector may select the usual proxy.
    Raises BadRules for a kind that this mesh does not serve yet.
    """
    documents = list(documents)
    check_kinds(documents)
    usual_gateways = {
        gateway.name for gateway in gateways if any(not proxy.name for proxy in gateway.proxies)
    }
    placed = []
    for document in documents:
        spec = document.spec.to_python()
        if document.kind == "Gateway" and document.group == GATEWAY_API:
            service = f"{name_gateway_service(document.name)}.{document.namespace}.{CLUSTER_DOMAIN}"
            listeners = spec.pop("listeners", [])
            plain = [entry for entry in listeners if entry.get("protocol") != "HTTPS"]
            if listeners and not plain:
                continue
            addresses = [{"type": "Hostname", "value": service}]
            spec = {**spec, **({"listeners": plain} if plain else {}), "addresses": addresses}
        elif document.kind == "Gateway":
            owner = f"{document.namespace}/{document.name}"
            is_usual = owner in usual_gateways or _selects_usual_labels(spec)
            servers = spec["servers"] if is_usual else ()
            spec["servers"], secrets = _move_servers(servers, ingress_address, owner, certificates)
            spec["selector"] = dict(INGRESS_LABELS)
            placed += secrets
            if not spec["servers"]:
                continue
        if document.kind == "DestinationRule":
            spec = _drop_unproven(spec)
        metadata = {"name": document.name, "namespace": document.namespace}
        body = {
            "apiVersion": document.api_version,
            "kind": document.kind,
            "metadata": metadata,
            "spec": spec,
        }
        placed.append(Placed(body, str(document.at), document.created))
    return placed


def _drop_unproven(spec: Any) -> Any:
    """Return a DestinationRule's spec without consistentHash and outlierDetection.

    Both are named as not proven. All requests of a run come from one address: by a hash, one pod of
    a service would get them all. Cases of retries make workloads fail, and it would eject them.
    """
    if isinstance(spec, list):
        return [_drop_unproven(entry) for entry in spec]
    if not isinstance(spec, dict):
        return spec
    return {key: _drop_unproven(value) for key, value in spec.items() if key not in _UNPROVEN_KEYS}


def _selects_usual_labels(spec: Object) -> bool:
    """Say whether a Gateway's selector fits the labels of the usual ingress."""
    return set((spec.get("selector") or {}).items()) <= set(INGRESS.labels)


def _move_servers(
    written: Iterable[Object], address: str, owner: str, certificates: GatewayCertificates | None
) -> tuple[list[Object], list[Placed]]:
    """Return a Gateway's servers for the ingress of the run, at its address, and their Secrets.

    Servers where TLS ends have certificates of the run, or are left out where there are none.
    """
    servers, secrets = [], []
    for number, server in enumerate(written):
        server = {**server, "bind": address}
        if str(server["port"]["protocol"]).upper() == "HTTPS":
            tls = server.get("tls") or {}
            if certificates is None or tls.get("mode") not in _TLS_MODES:
                continue
            secret = Placed(certificates.make_secret(owner, number, server["hosts"]))
            kept = {key: value for key, value in tls.items() if key not in _CERTIFICATE_FIELDS}
            server["tls"] = {**kept, "credentialName": secret.body["metadata"]["name"]}
            secrets.append(secret)
        servers.append(server)
    return servers, secrets
