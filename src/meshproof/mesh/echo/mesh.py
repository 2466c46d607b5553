"""A local mesh for rules alone: echo workloads for every host that the rules name, no apps.

Three Envoys do it, however many rules there are: one answers for all workloads (a listener for
each), one is every client's sidecar (a listener for each set of source labels), one is the ingress.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.base.names import CLUSTER_DOMAIN, MESH, ROOT_NAMESPACE, Labels
from meshproof.documents.manifest import At
from meshproof.inventory import Inventory
from meshproof.mesh.echo.listener import EchoBehaviour, listener
from meshproof.mesh.echo.mirrored import Copies
from meshproof.mesh.echo.workloads import (
    DEFAULT_PORTS,
    MISSED,
    OUTSIDE,
    Echo,
    Workloads,
    check_hosts,
    echoes,
    named_in,
    ports,
)
from meshproof.mesh.envoy import ingress, listeners, translate
from meshproof.mesh.envoy.certificates import Authority
from meshproof.mesh.envoy.envoy import Envoy, Rejected, Resource, find_binary
from meshproof.mesh.envoy.ingress import Ingress
from meshproof.mesh.envoy.listeners import Telemetry
from meshproof.mesh.envoy.rollout import Plan, rollout
from meshproof.mesh.envoy.topology import Pod, Service, Topology
from meshproof.mesh.envoy.translate import Endpoint, Snapshot
from meshproof.mesh.process import processes
from meshproof.mesh.process.processes import Workspace, wait_for
from meshproof.mesh.protocol import Address, Options, Sender, Served
from meshproof.oracle.derive import Call, Case
from meshproof.rules.model import RuleSet


class EchoMesh:
    """Rules served by real Envoys to echo workloads; see `opened`."""

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
        around: Inventory,
    ) -> None:
        binary = find_binary(options.envoy)
        self._workspace = workspace
        self._rules = rules
        self._around = around
        self._identity = Authority(workspace.path / "certificates").issue(
            ROOT_NAMESPACE, ingress.NAME
        )
        self._servers = Envoy("echo", workspace, binary)
        self._clients = Envoy("client", workspace, binary)
        self._ingress = Ingress(workspace, binary, self._identity, options.ingress_port)
        cases = list(cases)
        calls = [case.call for case in cases if case.call.gateway == MESH]
        sources = sorted({_source(call) for call in calls})
        self._sources = {one: f"source-{at}" for at, one in enumerate(sources)}
        self._lesson = EchoBehaviour.of(cases)
        self._copies = Copies(
            workspace.path / "copies.log", self._servers, (self._clients, self._ingress.envoy)
        )
        check_hosts(rules, around)
        self.echoes = echoes(rules, around)
        self.workloads = Workloads(self.echoes, options.beta or MISSED)
        self.served: Served | None = None

    @classmethod
    @contextlib.contextmanager
    def opened(
        cls, options: Options, rules: RuleSet, cases: Iterable[Case], around: Inventory
    ) -> Iterator[EchoMesh]:
        """Serve the rules to the clients that the cases need; end everything with the context.

        Raises BadRules when an Envoy rejects the rules.
        """
        with processes.interruptible(), Workspace.create() as workspace:
            mesh = cls(options, workspace, rules, cases, around)
            mesh._serve()
            yield mesh

    def _serve(self) -> None:
        self._start()
        opened = self._servers.listeners()
        pods = {one.name: _pod(one, _selector(self._around, one.host)) for one in self.echoes}
        endpoints = tuple(Endpoint(pods[name], "127.0.0.1", opened[name]) for name in pods)
        topology = Topology(tuple(self._services()), tuple(pods.values()))
        snapshot = Snapshot(topology, self._rules, endpoints, "DISABLE")
        self._ingress.open(self._rules.gateways)
        plans = [self._client_plan(snapshot), self._ingress.plan(snapshot)]
        self.served = rollout(plans, self._rules)

    def _start(self) -> None:
        self._servers.serve("cds", [])
        self._servers.serve("lds", [self._listener(echo) for echo in self.echoes])
        self._clients.serve("cds", [])
        for name in self._sources.values():
            self._clients.serve(f"rds.{name}", [{"name": name, "virtual_hosts": []}])
        self._clients.serve("lds", [self._client_listener(name) for name in self._sources.values()])
        for envoy in (self._servers, self._clients):
            envoy.start()
        self._ingress.start()
        for envoy in (self._servers, self._clients):
            envoy.wait_started()
            self._wait(envoy)

    def _listener(self, echo: Echo) -> Resource:
        return listener(echo.name, self._lesson, str(self._copies.path))

    def _wait(self, envoy: Envoy) -> None:
        try:
            wait_for(
                lambda: envoy.acknowledged() or None,
                timeouts.ENVOY_START,
                lambda: f"{envoy.name}: does not listen; its log:\n{envoy.process.tail()}",
            )
        except Rejected as rejected:
            raise NotReady(str(rejected)) from None

    def _client_listener(self, name: str) -> Resource:
        telemetry = Telemetry(str(self._workspace.path / "client.access.log"), False)
        return listeners.outbound(name, 0, str(self._clients.config_path(f"rds.{name}")), telemetry)

    def _client_plan(self, snapshot: Snapshot) -> Plan:
        routes = {
            name: {**translate.sidecar_routes(snapshot, _client(*source)), "name": name}
            for source, name in self._sources.items()
        }
        return Plan(self._clients, translate.clusters(snapshot, self._identity), routes)

    def _services(self) -> Iterator[Service]:
        listed = ports(self._rules, self._around)
        for host in dict.fromkeys(echo.host for echo in self.echoes):
            name, namespace = named_in(host)
            selector = _selector(self._around, host)
            yield Service(
                name,
                namespace,
                selector,
                {one: one for one in listed[host]},
                At("echo", 1),
                namespace == OUTSIDE,
            )

    def address(self, call: Call) -> Address:
        """Return where a client sends a call: a sidecar's listener, or the ingress."""
        if call.gateway == MESH:
            return self._sidecars[_source(call)]
        return self._gateways[call.port]

    @cached_property
    def _sidecars(self) -> dict[_Source, Address]:
        opened = self._clients.listeners()
        return {one: Address("127.0.0.1", opened[name]) for one, name in self._sources.items()}

    @cached_property
    def _gateways(self) -> dict[int, Address]:
        servers = [server for gateway in self._rules.gateways for server in gateway.servers]
        return {server.port: self._ingress.address(server.port) for server in servers}

    def unproven(self, case: Case) -> str:
        """Return why a case cannot be proven here: each can."""
        return ""

    def sender(self, case: Case) -> Sender | None:
        """Return what sends a case: this process, None."""
        return None

    def copied(self, case: Case, asked: Sequence[tuple[str, str]]) -> list[int]:
        """Return how many copies the mirror of a case has got of each of some requests.

        `asked` are, for each, the value of its header MIRROR and the workload that answered it.
        """
        return self.workloads.copied(case, asked, self._copies.noted())


def _selector(around: Inventory, host: str) -> Labels:
    return around.selectors.get(host) or (("app", named_in(host)[0]),)


def _pod(echo: Echo, selector: Labels) -> Pod:
    namespace = named_in(echo.host)[1]
    return Pod(
        name=echo.name,
        workload=echo.name,
        namespace=namespace,
        labels=tuple(sorted({*selector, *echo.labels})),
        service_account="default",
        image="meshproof/echo",
        env={},
        port=DEFAULT_PORTS[0],
        readiness=None,
        at=At("echo", 1),
    )


#: The namespace and the labels of a calling workload.
_Source = tuple[str, Labels]


def _source(call: Call) -> _Source:
    return call.namespace, call.source


def _client(namespace: str, labels: Labels) -> Pod:
    return _pod(Echo("client", f"client.{namespace}.{CLUSTER_DOMAIN}", labels), ())
