"""Two meshes that stay up for all sets of rules: the local one, and one with a real istiod.

Both send to the same echo workloads. They are made of the parts of `mesh.echo` and `mesh.istiod`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from meshproof.base.names import MESH, ROOT_NAMESPACE
from meshproof.documents import manifest
from meshproof.documents.manifest import Document
from meshproof.mesh.echo.listener import MarkerHeaders
from meshproof.mesh.echo.mesh import iter_services, make_client_pod, make_pod
from meshproof.mesh.echo.mirrored_copies import MirroredCopies
from meshproof.mesh.echo.rule_mesh import find_source
from meshproof.mesh.echo.servers import EchoServers, wait_acknowledged
from meshproof.mesh.echo.tls_clients import TlsClients
from meshproof.mesh.echo.workloads import Workloads, collect_ports
from meshproof.mesh.envoy import ingress, listeners, translate
from meshproof.mesh.envoy.certificates import Authority
from meshproof.mesh.envoy.envoy import Envoy, Resource, find_binary
from meshproof.mesh.envoy.ingress import Ingress
from meshproof.mesh.envoy.listeners import Telemetry
from meshproof.mesh.envoy.rollout import ProxyPlan, roll_out
from meshproof.mesh.envoy.topology import Topology
from meshproof.mesh.envoy.translate import Endpoint, Snapshot
from meshproof.mesh.istiod.addresses import Addresses, choose_call_ports
from meshproof.mesh.istiod.api import Object
from meshproof.mesh.istiod.binaries import find_binaries
from meshproof.mesh.istiod.control_plane import MESH_CONFIG, ControlPlane
from meshproof.mesh.istiod.gateway_certificates import GatewayCertificates
from meshproof.mesh.istiod.ingress import IstiodIngress
from meshproof.mesh.istiod.objects import (
    INGRESS_NAME,
    PROXY_LABEL,
    EndpointAddress,
    Placed,
    make_fixed_objects,
    make_service,
    make_service_entry,
    read_rules,
)
from meshproof.mesh.istiod.proxy import IstioProxy
from meshproof.mesh.istiod.rule_mesh import make_client_sidecar
from meshproof.mesh.istiod.serving import Serving
from meshproof.mesh.process.ports import HOST
from meshproof.mesh.process.processes import Workspace
from meshproof.mesh.protocol import Address
from meshproof.oracle.derive import Call
from meshproof.rules.model import INGRESS, Proxy, RuleSet
from meshproof.user_rules.loading import UserRules
from tests.differential.splits import Split, read_splits
from tests.differential.world import BEHAVIOUR, CALLERS, ECHOES, ENTRY_PROXY, OUTSIDE, SERVICES

MARKERS = MarkerHeaders("-diff")
WORKLOADS = Workloads(ECHOES)
#: The proxies for gateways: that of Istio's, and that of the one Gateway of Gateway API.
GATEWAY_PROXIES = (INGRESS, ENTRY_PROXY)
#: Kinds that are no rules of where requests go.
_SURROUNDINGS = ("PeerAuthentication", "ServiceEntry", "Sidecar")


class Side(Protocol):
    """One of the two meshes."""

    name: str

    def apply(self, rules: UserRules | None, text: str) -> None:
        """Serve the rules, and no others; without any that could be read, the text alone.

        Raises BadRules if they are refused.
        """

    def find_address(self, call: Call) -> Address | None:
        """Return the address to send a call to; None where nobody could send it."""

    def read_splits(self) -> list[frozenset[Split]]:
        """Return the splits that each caller's proxy has, in order, then those of the ingress."""


class Backends:
    """The one Envoy that answers for the workloads of both meshes."""

    def __init__(self, workspace: Workspace) -> None:
        self._servers = EchoServers(workspace, find_binary(None))

    def start(self) -> None:
        """Start the Envoy; return when every workload listens."""
        self._servers.start(ECHOES, BEHAVIOUR, MARKERS)
        self.ports = self._servers.wait_started()

    def watch_copies(self, callers: Sequence[Envoy]) -> MirroredCopies:
        """Return what counts the copies of requests, which come from the proxies of callers."""
        return MirroredCopies(self._servers.copies_path, self._servers.envoy, callers)


def take_snapshot(rules: UserRules, endpoints: Sequence[Endpoint]) -> Snapshot:
    """Return what the local mesh translates: the rules, and the services of the world."""
    known = rules.known_hosts
    host_ports = {**known.ports, **collect_ports(rules.rules, known)}
    pods = tuple(endpoint.pod for endpoint in endpoints)
    topology = Topology(tuple(iter_services(host_ports, known)), pods)
    # As in the local mesh: echo workloads speak plaintext, whatever mTLS the rules ask of sidecars.
    rule_set = replace(rules.rules, policies=())
    return Snapshot(topology, rule_set, tuple(endpoints), "DISABLE", serves_dead_ends=True)


def translate_routes(rules: UserRules) -> list[Resource]:
    """Return the routes of every caller and of the ingress, as the local mesh has them."""
    endpoints = [Endpoint(make_pod(echo), HOST, port) for port, echo in enumerate(ECHOES, start=1)]
    snapshot = take_snapshot(rules, endpoints)
    routes = [
        translate.translate_sidecar_routes(snapshot, make_client_pod(*source)) for source in CALLERS
    ]
    return routes + [
        translate.translate_gateway_routes(snapshot, listener, proxy)
        for proxy in GATEWAY_PROXIES
        for listener in translate.list_listeners(rules.rules.gateways, proxy)
    ]


def list_gateway_ports(rules: RuleSet) -> set[tuple[Proxy, int]]:
    """Return where the gateways of some rules listen: at which proxy, and at which port."""
    return {
        (proxy, server.port)
        for gateway in rules.gateways
        for proxy in gateway.proxies
        for server in gateway.servers
    }


class LocalSide:
    """The local mesh: one Envoy for all callers, one for each proxy of gateways."""

    name = "local"

    def __init__(self, workspace: Workspace, backends: Backends) -> None:
        binary = find_binary(None)
        self._workspace = workspace
        authority = Authority(workspace.path / "certificates")
        self._identity = authority.issue(ROOT_NAMESPACE, ingress.NAME)
        self._tls_clients = TlsClients(authority)
        self._clients = Envoy("client", workspace, binary)
        self._ingresses = {
            proxy: Ingress(workspace, binary, authority, 0, proxy, f"{ingress.NAME}-{number}")
            for number, proxy in enumerate(GATEWAY_PROXIES)
        }
        self._names = {source: f"source-{index}" for index, source in enumerate(CALLERS)}
        self._pods = {echo.name: make_pod(echo) for echo in ECHOES}
        self._endpoints = tuple(
            Endpoint(pod, HOST, backends.ports[name]) for name, pod in self._pods.items()
        )
        self._gateway_ports: set[tuple[Proxy, int]] = set()
        self.envoys: list[Envoy] = [
            self._clients,
            *(own_ingress.envoy for own_ingress in self._ingresses.values()),
        ]

    def start(self) -> None:
        """Start the Envoys without rules."""
        self._clients.serve("cds", [])
        for name in self._names.values():
            self._clients.serve(f"rds.{name}", [{"name": name, "virtual_hosts": []}])
        telemetry = Telemetry("/dev/null", False)
        self._clients.serve(
            "lds",
            [
                listeners.make_outbound_listener(
                    name, 0, str(self._clients.config_path(f"rds.{name}")), telemetry
                )
                for name in self._names.values()
            ],
        )
        self._clients.start()
        for own_ingress in self._ingresses.values():
            own_ingress.start()
        self._clients.wait_started()
        wait_acknowledged(self._clients)

    def apply(self, rules: UserRules | None, text: str) -> None:
        """Serve the rules, and no others; see `Side.apply`."""
        assert rules is not None
        snapshot = take_snapshot(rules, self._endpoints)
        routes = {
            name: {
                **translate.translate_sidecar_routes(snapshot, make_client_pod(*source)),
                "name": name,
            }
            for source, name in self._names.items()
        }
        clusters = translate.translate_clusters(snapshot, self._identity)
        for own_ingress in self._ingresses.values():
            own_ingress.open(rules.rules.gateways)
        self._gateway_ports = list_gateway_ports(rules.rules)
        plans = [
            ProxyPlan(self._clients, clusters, routes),
            *(own_ingress.make_plan(snapshot) for own_ingress in self._ingresses.values()),
        ]
        roll_out(plans, rules.rules)

    def find_address(self, call: Call) -> Address | None:
        """Return the address to send a call to; see `Side.find_address`."""
        if call.gateway == MESH:
            name = self._names.get(find_source(call))
            return Address(HOST, self._client_ports[name]) if name else None
        if (call.proxy, call.port) not in self._gateway_ports:
            return None
        return self._tls_clients.at(self._ingresses[call.proxy].address(call.port), call.tls)

    def read_splits(self) -> list[frozenset[Split]]:
        """Return the splits of all proxies; see `Side.read_splits`."""
        callers = [read_splits(self._clients, name) for name in self._names.values()]
        gateways = (own_ingress.envoy for own_ingress in self._ingresses.values())
        return [*callers, *map(read_splits, gateways)]

    @cached_property
    def _client_ports(self) -> dict[str, int]:
        """The port of each caller's sidecar."""
        return self._clients.read_listener_ports()


class IstiodSide:
    """The mesh of a real istiod: an Envoy for each caller, and for each proxy of gateways."""

    def __init__(
        self, workspace: Workspace, backends: Backends, istiod: str, name: str = "istiod"
    ) -> None:
        self.name = name
        binary = find_binary(None)
        addresses = Addresses()
        self._authority = Authority(workspace.path / "authority")
        self._tls_clients = TlsClients(self._authority)
        self._control_plane = ControlPlane(workspace, find_binaries(istiod), self._authority)
        self._serving = Serving(self._control_plane)
        self._ingresses = {
            proxy: IstiodIngress(
                workspace,
                binary,
                self._control_plane,
                addresses,
                owner=proxy.name,
                identity=None
                if proxy.name
                else self._authority.issue(ROOT_NAMESPACE, INGRESS_NAME),
            )
            for proxy in GATEWAY_PROXIES
        }
        self._clients = {
            (namespace, labels): IstioProxy(
                f"caller-{index}",
                workspace,
                binary,
                self._control_plane.xds_port,
                addresses.take(),
                namespace,
                (*labels, (PROXY_LABEL, f"caller-{index}")),
            )
            for index, (namespace, labels) in enumerate(CALLERS)
        }
        ports = sorted({port for service in SERVICES for port in service.ports})
        self._call_ports = {
            source: choose_call_ports(proxy.address, ports)
            for source, proxy in self._clients.items()
        }
        self._echo_ports = backends.ports
        self._own_objects = list(self._make_own_objects(backends.ports))
        self._gateway_ports: set[tuple[Proxy, int]] = set()

    @property
    def _proxies(self) -> list[IstioProxy]:
        gateways = (own_ingress.proxy for own_ingress in self._ingresses.values())
        return [*self._clients.values(), *gateways]

    @property
    def envoys(self) -> list[Envoy]:
        """The Envoys that send to workloads."""
        return list(self._proxies)

    @property
    def version(self) -> str:
        """The version that istiod tells."""
        return self._control_plane.version

    def _make_own_objects(self, echo_ports: dict[str, int]) -> Iterator[Placed]:
        """Yield what stays: services and the marker."""
        yield from make_fixed_objects()
        for service in SERVICES:
            endpoints = [
                EndpointAddress(
                    HOST, dict.fromkeys(service.ports, echo_ports[echo.name]), echo.labels
                )
                for echo in service.echoes
            ]
            yield Placed(
                make_service_entry(
                    service.namespace, service.name, service.host, service.ports, endpoints
                )
            )
            yield make_service(service.namespace, service.name, service.ports)

    def _make_sidecars(self, rules: RuleSet) -> Iterator[Placed]:
        """Yield what the callers' proxies listen on, and what they import."""
        for source, proxy in self._clients.items():
            call_ports = self._call_ports[source]
            yield Placed(make_client_sidecar(rules, source, proxy, call_ports))

    def start(self) -> None:
        """Start the control plane and the Envoys."""
        self._control_plane.start(MESH_CONFIG)
        for proxy in self._proxies:
            proxy.start()
        for proxy in self._proxies:
            proxy.wait_started()

    def apply(self, rules: UserRules | None, text: str) -> None:
        """Serve the rules, and no others; see `Side.apply`."""
        documents = manifest.parse(text, "set.yaml")
        rule_set = rules.rules if rules else RuleSet()
        objects = [
            *self._own_objects,
            *(
                placed
                for own_ingress in self._ingresses.values()
                for placed in own_ingress.make_objects(rule_set.gateways)
            ),
            *self._make_sidecars(rule_set),
            *self._read_surroundings(documents),
            *read_rules(
                [document for document in documents if document.kind not in _SURROUNDINGS],
                self._ingresses[INGRESS].proxy.address,
                GatewayCertificates(self._authority, rules.plan.cases if rules else ()),
            ),
        ]
        self._serving.serve(objects, self._proxies, rule_set)
        self._gateway_ports = list_gateway_ports(rule_set)

    def _read_surroundings(self, documents: Iterable[Document]) -> Iterator[Placed]:
        """Yield what stands around the rules: with our endpoints, and without Sidecars.

        The callers have their own Sidecars, which import the same.
        """
        for document in documents:
            if document.kind not in _SURROUNDINGS or document.kind == "Sidecar":
                continue
            body = {**document.root.to_python()}
            if document.kind == "ServiceEntry":
                body["spec"] = {**body["spec"], "endpoints": list(self._make_endpoints(body))}
            yield Placed(body, str(document.at))

    def _make_endpoints(self, entry: Object) -> Iterator[Object]:
        """Yield where the workloads of the host outside answer, in place of a ServiceEntry's."""
        for echo in OUTSIDE.echoes:
            port = self._echo_ports[echo.name]
            ports = {given["name"]: port for given in entry["spec"]["ports"]}
            yield {"address": HOST, "ports": ports, "labels": dict(echo.labels)}

    def find_address(self, call: Call) -> Address | None:
        """Return the address to send a call to; see `Side.find_address`."""
        if call.gateway == MESH:
            source = find_source(call)
            port = self._call_ports.get(source, {}).get(call.port)
            return Address(self._clients[source].address, port) if port else None
        if (call.proxy, call.port) not in self._gateway_ports:
            return None
        return self._tls_clients.at(self._ingresses[call.proxy].address(call.port), call.tls)

    def read_splits(self) -> list[frozenset[Split]]:
        """Return the splits of all proxies; see `Side.read_splits`."""
        return list(map(read_splits, self._proxies))


@dataclass(frozen=True)
class Pair:
    """Both meshes, and the count of the copies that their workloads get.

    `local` is the mesh of another istiod where two of them are compared.
    """

    local: LocalSide | IstiodSide
    istiod: IstiodSide
    copies: MirroredCopies

    @property
    def title(self) -> str:
        """What is compared, in words."""
        first = "local" if isinstance(self.local, LocalSide) else f"istiod {self.local.version}"
        return f"{first} against istiod {self.istiod.version}"

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both meshes, ours first."""
        return self.local, self.istiod


@contextlib.contextmanager
def open_pair(istiod: str, older: str = "") -> Iterator[Pair]:
    """Start the local mesh, or that of an older istiod, and an istiod's; end with the context."""
    with (
        Workspace.create() as shared,
        Workspace.create() as local_space,
        Workspace.create() as istiod_space,
    ):
        backends = Backends(shared)
        backends.start()
        local: LocalSide | IstiodSide = (
            IstiodSide(local_space, backends, older, "older istiod")
            if older
            else LocalSide(local_space, backends)
        )
        local.start()
        side = IstiodSide(istiod_space, backends, istiod)
        side.start()
        yield Pair(local, side, backends.watch_copies([*local.envoys, *side.envoys]))
