"""A user's rules on a real istiod: echo workloads for every host that they name, no apps.

One Envoy answers for all workloads, one is the ingress; each calling workload of a case has an
Envoy of its own, since istiod makes the config of a proxy from its namespace and labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from meshproof.base.names import MESH, is_service
from meshproof.inventory.known_hosts import KnownHosts
from meshproof.inventory.sidecars import EgressListener
from meshproof.inventory.world import Presence
from meshproof.mesh.echo.rule_mesh import LocalRuleMesh, Source, find_source
from meshproof.mesh.echo.tls_clients import TlsClients
from meshproof.mesh.echo.workloads import (
    ONE_POD,
    collect_ports,
    split_host,
)
from meshproof.mesh.envoy.certificates import Authority
from meshproof.mesh.envoy.sidecar_scopes import SidecarScope
from meshproof.mesh.istiod import config_dump
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
    explain_unserved,
    is_served,
    make_fixed_objects,
    make_service,
    make_service_entry,
    make_sidecar,
    read_rules,
)
from meshproof.mesh.istiod.proxy import IstioProxy
from meshproof.mesh.istiod.serving import Serving
from meshproof.mesh.process.ports import HOST
from meshproof.mesh.process.processes import Workspace
from meshproof.mesh.protocol import Address, Options
from meshproof.oracle.derive import Call, Case
from meshproof.rules.model import INGRESS, RuleSet


class IstiodRuleMesh(LocalRuleMesh):
    """Rules that istiod serves to echo workloads. A `meshproof.mesh.echo.case_mesh.CaseMesh`."""

    def __init__(
        self,
        options: Options,
        workspace: Workspace,
        rules: RuleSet,
        cases: Iterable[Case],
        known_hosts: KnownHosts,
    ) -> None:
        """Raise BadRules for a host or a kind of rule that this mesh does not serve."""
        cases = list(cases)
        binaries = find_binaries(options.istiod, options.cluster.image_prefix)
        super().__init__(options, workspace, rules, cases, known_hosts)
        addresses = Addresses()
        authority = Authority(workspace.path / "certificates")
        self._tls_clients = TlsClients(authority)
        self._control_plane = ControlPlane(workspace, binaries, authority)
        self._serving = Serving(self._control_plane)
        proxies = [proxy for gateway in rules.gateways for proxy in gateway.proxies]
        usual = next((proxy for proxy in proxies if not proxy.name), INGRESS)
        self._ingresses = {
            owner: IstiodIngress(
                workspace,
                self._binary,
                self._control_plane,
                addresses,
                0 if owner else options.ingress_port,
                owner,
                None if owner else authority.issue(usual.namespace, INGRESS_NAME),
                usual.namespace,
            )
            for owner in sorted({"", *(proxy.name for proxy in proxies if is_served(proxy))})
        }
        self._rule_objects = read_rules(
            rules.documents,
            self._ingresses[""].proxy.address,
            GatewayCertificates(authority, cases, usual.namespace),
            rules.gateways,
        )
        self._clients = {
            source: self._make_client(f"client-{number}", source, workspace, addresses)
            for number, source in enumerate(self._sources)
        }
        self._host_ports = collect_ports(rules, known_hosts)
        called_ports = {case.call.port for case in cases if case.call.gateway == MESH}
        all_ports = sorted(called_ports.union(*self._host_ports.values()))
        self._call_ports = {
            source: choose_call_ports(proxy.address, all_ports)
            for source, proxy in self._clients.items()
        }

    def _list_proxies(self) -> list[IstioProxy]:
        """Return the proxies of istiod: those of the clients, and those for gateways."""
        routers = [ingress.proxy for ingress in self._ingresses.values()]
        return [*self._clients.values(), *routers]

    def _make_client(
        self, name: str, source: Source, workspace: Workspace, addresses: Addresses
    ) -> IstioProxy:
        """Return the proxy of a calling workload, not started yet."""
        namespace, labels = source
        return IstioProxy(
            name,
            workspace,
            self._binary,
            self._control_plane.xds_port,
            addresses.take(),
            namespace,
            (*labels, (PROXY_LABEL, name)),
        )

    def _serve(self) -> None:
        """Start everything and serve the rules."""
        self._servers.start(self.echoes, self._behaviour, self.markers)
        self._control_plane.start(MESH_CONFIG)
        for proxy in self._list_proxies():
            proxy.start()
        ports = self._servers.wait_started()
        for proxy in self._list_proxies():
            proxy.wait_started()
        objects = [*self._make_own_objects(ports), *self._rule_objects]
        self.served = self._serving.serve(objects, self._list_proxies(), self._rules)

    def _make_own_objects(self, echo_ports: dict[str, int]) -> Iterator[Placed]:
        """Yield the objects beside the rules: services, the clients' listeners, the gateways."""
        yield from make_fixed_objects()
        for ingress in self._ingresses.values():
            yield from ingress.make_objects(self._rules.gateways)
        for host, ports in self._host_ports.items():
            if self._known_hosts.world.describe_host(host).presence is Presence.ABSENT:
                continue
            name, namespace = split_host(host)
            endpoints = [
                EndpointAddress(HOST, dict.fromkeys(ports, echo_ports[echo.name]), echo.labels)
                for echo in self.echoes
                if echo.stands_for(host)
            ]
            yield Placed(make_service_entry(namespace, name, host, ports, endpoints))
            if is_service(host):
                yield make_service(namespace, name, ports)
        for source, proxy in self._clients.items():
            yield Placed(make_client_sidecar(self._rules, source, proxy, self._call_ports[source]))

    def address(self, call: Call) -> Address:
        """Return the address to send a call to: a port of a sidecar, or of the ingress.

        Raises ProcessEnded once istiod has ended: what proxies do without it is not told as proven.
        """
        self._control_plane.require_alive()
        if call.gateway != MESH:
            address = self._ingresses[call.proxy.name].address(call.port)
            return self._tls_clients.at(address, call.tls)
        source = find_source(call)
        return Address(self._clients[source].address, self._call_ports[source][call.port])

    def read_config(self, call: Call) -> Mapping[tuple[str, ...], str]:
        """Return what the proxy that takes a call has from istiod: each value by its place."""
        if call.gateway != MESH:
            proxy = self._ingresses[call.proxy.name].proxy
        else:
            proxy = self._clients[find_source(call)]
        return config_dump.read_values(proxy.read_admin("/config_dump"))

    def require_processes(self) -> None:
        """Raise an error if a process of the mesh has ended; see `CaseMesh.require_processes`."""
        self._control_plane.require_alive()
        super().require_processes()

    def explain_unproven(self, case: Case) -> str:
        """Return why a case cannot be proven here; empty if it can."""
        if case.pod_key is not None:
            return ONE_POD
        if reason := explain_unserved(case.call):
            return reason
        speakers = [
            destination.host
            for destination, _ in case.shares
            if self._known_hosts.tls_ports.get(destination.host)
        ]
        return f"{speakers[0]} speaks TLS, which no workload of this mesh does" if speakers else ""


def make_client_sidecar(
    rules: RuleSet, source: Source, proxy: IstioProxy, call_ports: Mapping[int, int]
) -> Object:
    """Return the Sidecar of a caller's proxy; it imports what that of the user does.

    `call_ports` are where it listens, by the port that is called.
    """
    listeners = SidecarScope.for_proxy(rules, *source).listeners
    imports = {
        listening_port: hosts
        for port, listening_port in call_ports.items()
        if (hosts := _list_imports(listeners, port)) is not None
    }
    others = [listener for listener in listeners or () if listener.port is None]
    return make_sidecar(
        proxy.namespace,
        proxy.name,
        proxy.address,
        call_ports.values(),
        imports=imports,
        other_imports=[host for listener in others for host in _format_imports(listener)],
    )


def _list_imports(listeners: Sequence[EgressListener] | None, port: int) -> list[str] | None:
    """Return what the user's Sidecar imports for calls of a port, None for everything.

    Each client has a Sidecar of the run, in place of the user's.
    """
    if listeners is None:
        return None
    for listener in listeners:
        if listener.port in (None, port):
            return _format_imports(listener)
    return ["~/*"]


def _format_imports(listener: EgressListener) -> list[str]:
    """Return what a listener imports as a Sidecar says it."""
    return [
        f"{'~' if entry.is_excluded else ''}{entry.namespace}/{entry.host}"
        for entry in listener.imports
    ]
