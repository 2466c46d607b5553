"""A local mesh that needs only rules: echo workloads for every host that the rules name, no apps.

It takes three Envoys for any number of rules. One answers for all workloads (a listener for each),
one is every client's sidecar (a listener for each set of source labels), one is the ingress.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from meshproof.base.names import CLUSTER_DOMAIN, MESH, ROOT_NAMESPACE, Labels
from meshproof.base.signals import interruptible
from meshproof.documents.manifest import At
from meshproof.inventory.known_hosts import KnownHosts
from meshproof.inventory.world import Presence
from meshproof.mesh.echo.listener import EchoBehaviour, MarkerHeaders
from meshproof.mesh.echo.mirrored_copies import MirroredCopies
from meshproof.mesh.echo.servers import EchoServers, wait_acknowledged
from meshproof.mesh.echo.workloads import (
    DEFAULT_BETA,
    DEFAULT_PORTS,
    EXTERNAL_NAMESPACE,
    EchoWorkload,
    Workloads,
    collect_ports,
    find_selector,
    plan_echo_workloads,
    split_host,
)
from meshproof.mesh.envoy import ingress, listeners, translate
from meshproof.mesh.envoy.certificates import Authority
from meshproof.mesh.envoy.envoy import Envoy, Resource, find_binary
from meshproof.mesh.envoy.ingress import Ingress
from meshproof.mesh.envoy.listeners import Telemetry
from meshproof.mesh.envoy.rollout import ProxyPlan, roll_out
from meshproof.mesh.envoy.topology import Pod, Service, Topology
from meshproof.mesh.envoy.translate import Endpoint, Snapshot
from meshproof.mesh.local_sender import LocalSender
from meshproof.mesh.process.processes import Workspace
from meshproof.mesh.protocol import Address, Options, Served
from meshproof.oracle.derive import Call, Case
from meshproof.rules.model import RuleSet


class EchoMesh:
    """Real Envoys that serve rules to echo workloads; see `opened`."""

    proven = (
        "a real Envoy routes as these rules say, to workloads that only echo; "
        "the control plane is meshproof's own translator, not istiod"
    )

    def __init__(
        self,
        options: Options,
        workspace: Workspace,
        rules: RuleSet,
        cases: Iterable[Case],
        known_hosts: KnownHosts,
    ) -> None:
        binary = find_binary(options.envoy)
        self._workspace = workspace
        self._rules = rules
        self._known_hosts = known_hosts
        self._identity = Authority(workspace.path / "certificates").issue(
            ROOT_NAMESPACE, ingress.NAME
        )
        self._servers = EchoServers(workspace, binary)
        self._clients = Envoy("client", workspace, binary)
        self._ingress = Ingress(workspace, binary, self._identity, options.ingress_port)
        cases = list(cases)
        calls = [case.call for case in cases if case.call.gateway == MESH]
        sources = sorted({find_source(call) for call in calls})
        self._listener_names = {source: f"source-{index}" for index, source in enumerate(sources)}
        self._behaviour = EchoBehaviour.from_cases(cases)
        self.markers = MarkerHeaders.for_rules(rules)
        self._mirrored_copies = MirroredCopies(
            self._servers.copies_path, self._servers.envoy, (self._clients, self._ingress.envoy)
        )
        self.echoes = plan_echo_workloads(rules, known_hosts)
        self.workloads = Workloads(self.echoes, options.beta or DEFAULT_BETA)
        self.served: Served | None = None
        self._sender = LocalSender()

    @classmethod
    @contextlib.contextmanager
    def opened(
        cls, options: Options, rules: RuleSet, cases: Iterable[Case], known_hosts: KnownHosts
    ) -> Iterator[EchoMesh]:
        """Serve the rules to the clients that the cases need; end everything with the context.

        Raises BadRules if an Envoy rejects the rules.
        """
        with interruptible(), Workspace.create() as workspace:
            mesh = cls(options, workspace, rules, cases, known_hosts)
            mesh._serve()
            with contextlib.closing(mesh._sender):
                yield mesh

    def _serve(self) -> None:
        """Start the Envoys and serve the rules to clients and ingress."""
        ports = self._start()
        pods = {echo.name: _make_pod(echo) for echo in self.echoes}
        endpoints = tuple(Endpoint(pods[name], "127.0.0.1", ports[name]) for name in pods)
        topology = Topology(tuple(self._iter_services()), tuple(pods.values()))
        snapshot = Snapshot(topology, self._rules, endpoints, "DISABLE", serves_dead_ends=True)
        self._ingress.open(self._rules.gateways)
        plans = [self._make_client_plan(snapshot), self._ingress.make_plan(snapshot)]
        self.served = roll_out(plans, self._rules)

    def _start(self) -> dict[str, int]:
        """Start the three Envoys; return the port of each workload."""
        self._servers.start(self.echoes, self._behaviour, self.markers)
        self._clients.serve("cds", [])
        for name in self._listener_names.values():
            self._clients.serve(f"rds.{name}", [{"name": name, "virtual_hosts": []}])
        self._clients.serve(
            "lds", [self._make_client_listener(name) for name in self._listener_names.values()]
        )
        self._clients.start()
        self._ingress.start()
        ports = self._servers.wait_started()
        self._clients.wait_started()
        wait_acknowledged(self._clients)
        return ports

    def _make_client_listener(self, name: str) -> Resource:
        """Return the outbound listener of a client."""
        telemetry = Telemetry(str(self._workspace.path / "client.access.log"), False)
        return listeners.make_outbound_listener(
            name, 0, str(self._clients.config_path(f"rds.{name}")), telemetry
        )

    def _make_client_plan(self, snapshot: Snapshot) -> ProxyPlan:
        """Return the config of the Envoy with all clients' sidecars."""
        routes = {
            name: {
                **translate.translate_sidecar_routes(snapshot, _make_client_pod(*source)),
                "name": name,
            }
            for source, name in self._listener_names.items()
        }
        return ProxyPlan(
            self._clients, translate.translate_clusters(snapshot, self._identity), routes
        )

    def _iter_services(self) -> Iterator[Service]:
        """Yield a service for each host of the rules; one that does not exist has no clusters."""
        host_ports = collect_ports(self._rules, self._known_hosts)
        for host, ports in host_ports.items():
            name, namespace = split_host(host)
            state = self._known_hosts.world.describe_host(host)
            yield Service(
                name,
                namespace,
                find_selector(self._known_hosts, host),
                {port: port for port in ports},
                At("echo", 1),
                namespace == EXTERNAL_NAMESPACE,
                state.presence is not Presence.ABSENT,
                self._known_hosts.other_ports.get(host, ()),
            )

    def address(self, call: Call) -> Address:
        """Return the address to send a call to: a sidecar's listener, or the ingress."""
        if call.gateway == MESH:
            return self._sidecar_addresses[find_source(call)]
        return self._gateway_addresses[call.port]

    @cached_property
    def _sidecar_addresses(self) -> dict[Source, Address]:
        """The address of each client's sidecar."""
        ports = self._clients.read_listener_ports()
        return {
            source: Address("127.0.0.1", ports[name])
            for source, name in self._listener_names.items()
        }

    @cached_property
    def _gateway_addresses(self) -> dict[int, Address]:
        """The address of each Gateway port."""
        servers = [server for gateway in self._rules.gateways for server in gateway.servers]
        return {server.port: self._ingress.address(server.port) for server in servers}

    def require_processes(self) -> None:
        """Raise an error if one of the Envoys has ended; see `CaseMesh.require_processes`."""
        self._servers.envoy.process.require_alive()  # our workloads: no rule of the user's is in it
        for envoy in (self._clients, self._ingress.envoy):
            envoy.require_alive()

    def explain_unproven(self, case: Case) -> str:
        """Return why a case cannot be proven here: never."""
        return ""

    def sender(self, case: Case) -> LocalSender:
        """Return the client that sends a case: this process, over connections that cases share."""
        return self._sender

    def count_copies(self, case: Case, requests: Sequence[tuple[str, str]]) -> list[int]:
        """Return, for each request, how many copies of it the case's mirror destination got.

        `requests` has a pair for each: the value of its header MIRROR_HEADER and the workload that
        answered.
        """
        return self.workloads.count_copies(case, requests, self._mirrored_copies.count_copies())


def _make_pod(echo: EchoWorkload) -> Pod:
    """Return the pod of an echo workload."""
    namespace = split_host(echo.host)[1]
    return Pod(
        name=echo.name,
        workload=echo.name,
        namespace=namespace,
        labels=echo.labels,
        service_account="default",
        image="meshproof/echo",
        env={},
        port=DEFAULT_PORTS[0],
        readiness=None,
        at=At("echo", 1),
    )


#: The namespace and the labels of a calling workload.
Source = tuple[str, Labels]


def find_source(call: Call) -> Source:
    """Return the namespace and the labels of a call's client."""
    return call.namespace, call.source


def _make_client_pod(namespace: str, labels: Labels) -> Pod:
    """Return the pod of a client."""
    return _make_pod(EchoWorkload("client", f"client.{namespace}.{CLUSTER_DOMAIN}", labels))
