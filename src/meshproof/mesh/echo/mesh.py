"""A local mesh that needs only rules: echo workloads for every host that the rules name, no apps.

It takes three Envoys for any number of rules. One answers for all workloads (a listener for each),
one is every client's sidecar (a listener for each set of source labels), one is the ingress. Each
further proxy of gateways takes one more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property, partial

from meshproof.base.names import CLUSTER_DOMAIN, MESH, ROOT_NAMESPACE, Labels, is_host_within
from meshproof.documents.manifest import At
from meshproof.inventory.known_hosts import KnownHosts
from meshproof.inventory.world import Presence
from meshproof.mesh.echo.listener import name_pod_listener, name_tls_listener
from meshproof.mesh.echo.rule_mesh import LocalRuleMesh, Source, find_source
from meshproof.mesh.echo.servers import wait_acknowledged
from meshproof.mesh.echo.tls_clients import TlsClients
from meshproof.mesh.echo.workloads import (
    DEFAULT_PORTS,
    EXTERNAL_NAMESPACE,
    EchoWorkload,
    collect_ports,
    find_selector,
    split_host,
)
from meshproof.mesh.envoy import ingress, listeners, translate
from meshproof.mesh.envoy.certificates import Authority
from meshproof.mesh.envoy.envoy import Envoy, Resource
from meshproof.mesh.envoy.ingress import Ingress
from meshproof.mesh.envoy.listeners import Telemetry
from meshproof.mesh.envoy.rollout import ProxyPlan, roll_out
from meshproof.mesh.envoy.topology import Pod, Service, Topology
from meshproof.mesh.envoy.translate import Endpoint, Snapshot
from meshproof.mesh.process.processes import Workspace
from meshproof.mesh.protocol import Address, Options
from meshproof.oracle.derive import Call, Case
from meshproof.rules.model import INGRESS, Proxy, RuleSet


class EchoMesh(LocalRuleMesh):
    """Real Envoys that serve rules to echo workloads; see `opened`.

    Each workload is `_pods_of_each` pods.
    """

    _pods_of_each = 1

    def __init__(
        self,
        options: Options,
        workspace: Workspace,
        rules: RuleSet,
        cases: Iterable[Case],
        known_hosts: KnownHosts,
    ) -> None:
        cases = list(cases)
        super().__init__(options, workspace, rules, cases, known_hosts)
        self._workspace = workspace
        self._authority = Authority(workspace.path / "certificates")
        self._tls_clients = TlsClients(self._authority)
        self._identity = self._authority.issue(ROOT_NAMESPACE, ingress.NAME)
        self._clients = Envoy("client", workspace, self._binary)
        self._asked_names: dict[str, set[str]] = defaultdict(set)
        for tls in (case.call.tls for case in cases if case.call.tls):
            self._asked_names[tls.server].add(tls.name)
        self._ingresses = {
            proxy: Ingress(
                workspace,
                self._binary,
                self._authority,
                0 if number else options.ingress_port,
                proxy,
                f"{ingress.NAME}-{number}" if number else ingress.NAME,
            )
            for number, proxy in enumerate(_list_gateway_proxies(rules))
        }
        self._listener_names = {
            source: f"source-{index}" for index, source in enumerate(self._sources)
        }

    def _list_proxies(self) -> list[Envoy]:
        """Return the Envoys that route: the one of all clients, and those of gateways."""
        return [self._clients, *(own_ingress.envoy for own_ingress in self._ingresses.values())]

    def _serve(self) -> None:
        """Start the Envoys and serve the rules to clients and ingress."""
        ports = self._start()
        pods = {echo.name: make_pod(echo) for echo in self.echoes}
        endpoints = tuple(
            Endpoint(
                pod,
                "127.0.0.1",
                ports[name_pod_listener(name, number)],
                ports.get(name_tls_listener(name), 0),
            )
            for name, pod in pods.items()
            for number in range(self._pods_of_each)
        )
        topology = Topology(tuple(self._iter_services()), tuple(pods.values()))
        # Echo workloads speak plaintext, whatever mTLS the rules ask of sidecars.
        plaintext_rules = replace(self._rules, policies=())
        snapshot = Snapshot(topology, plaintext_rules, endpoints, "DISABLE", serves_dead_ends=True)
        for own_ingress in self._ingresses.values():
            own_ingress.open(self._rules.gateways, self._asked_names)
        ingress_plans = [own.make_plan(snapshot) for own in self._ingresses.values()]
        plans = [self._make_client_plan(snapshot), *ingress_plans]
        self.served = roll_out(plans, self._rules)

    def _start(self) -> dict[str, int]:
        """Start the three Envoys; return the port of each workload."""
        certificates = {
            echo.name: self._authority.issue_for_host(echo.host)
            for echo in self.echoes
            if self._known_hosts.tls_ports.get(echo.host)
        }
        self._servers.start(
            self.echoes, self._behaviour, self.markers, certificates, self._pods_of_each
        )
        self._clients.serve("cds", [])
        for name in self._listener_names.values():
            self._clients.serve(f"rds.{name}", [{"name": name, "virtual_hosts": []}])
        self._clients.serve(
            "lds", [self._make_client_listener(name) for name in self._listener_names.values()]
        )
        self._clients.start()
        for own_ingress in self._ingresses.values():
            own_ingress.start()
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
                **translate.translate_sidecar_routes(snapshot, make_client_pod(*source)),
                "name": name,
            }
            for source, name in self._listener_names.items()
        }
        return ProxyPlan(
            self._clients, translate.translate_clusters(snapshot, self._identity), routes
        )

    def _iter_services(self) -> Iterator[Service]:
        """Yield a service for each host of the rules."""
        return iter_services(collect_ports(self._rules, self._known_hosts), self._known_hosts)

    def address(self, call: Call) -> Address:
        """Return the address to send a call to: a sidecar's listener, or the ingress."""
        if call.gateway == MESH:
            return self._sidecar_addresses[find_source(call)]
        return self._tls_clients.at(self._gateway_addresses[call.proxy, call.port], call.tls)

    @cached_property
    def _sidecar_addresses(self) -> dict[Source, Address]:
        """The address of each client's sidecar."""
        ports = self._clients.read_listener_ports()
        return {
            source: Address("127.0.0.1", ports[name])
            for source, name in self._listener_names.items()
        }

    @cached_property
    def _gateway_addresses(self) -> dict[tuple[Proxy, int], Address]:
        """The address of each Gateway port at each proxy."""
        return {
            (proxy, server.port): self._ingresses[proxy].address(server.port)
            for gateway in self._rules.gateways
            for proxy in gateway.proxies
            for server in gateway.servers
        }


def _list_gateway_proxies(rules: RuleSet) -> list[Proxy]:
    """Return the proxies that serve the gateways of rules; the usual one if there is none."""
    proxies = (proxy for gateway in rules.gateways for proxy in gateway.proxies)
    return list(dict.fromkeys(proxies)) or [INGRESS]


def iter_services(
    host_ports: Mapping[str, tuple[int, ...]], known_hosts: KnownHosts
) -> Iterator[Service]:
    """Yield a service for each host with its ports; one that does not exist has no clusters."""
    for host, ports in host_ports.items():
        name, namespace = split_host(host)
        yield Service(
            name,
            namespace,
            find_selector(known_hosts, host),
            {port: port for port in ports},
            At("echo", 1),
            namespace == EXTERNAL_NAMESPACE,
            known_hosts.world.describe_host(host).presence is not Presence.ABSENT,
            known_hosts.other_ports.get(host, ()),
            known_hosts.tls_ports.get(host, ()),
            tuple(filter(partial(_originates_tls, known_hosts, host), ports)),
        )


def _originates_tls(known_hosts: KnownHosts, host: str, port: int) -> bool:
    """Say whether proxies speak TLS to a port of a host outside at which TLS is spoken.

    The DestinationRule of the host itself holds, else that of the narrowest wildcard; in it the
    settings of the port come before those of all.
    """
    rule_hosts = [name for name in known_hosts.subsets if is_host_within(host, name)]
    if port not in known_hosts.tls_ports.get(host, ()) or not rule_hosts:
        return False
    rule_host = host if host in rule_hosts else max(rule_hosts, key=len)
    settings = [setting for setting in known_hosts.tls_settings if setting.host == rule_host]
    for setting in sorted(settings, key=lambda setting: setting.port is None):
        if setting.port == port or (setting.port is None and port not in setting.overridden_ports):
            return setting.mode in ("SIMPLE", "MUTUAL")
    return False


def make_pod(echo: EchoWorkload) -> Pod:
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


def make_client_pod(namespace: str, labels: Labels) -> Pod:
    """Return the pod of a client."""
    return make_pod(EchoWorkload("client", f"client.{namespace}.{CLUSTER_DOMAIN}", labels))
