"""The ingress gateway of the local mesh: an Envoy with a listener for each Gateway port."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.base.names import ROOT_NAMESPACE
from meshproof.base.waiting import wait_for
from meshproof.mesh.envoy import listeners, translate
from meshproof.mesh.envoy.certificates import Authority
from meshproof.mesh.envoy.envoy import ConfigRejected, Envoy, Resource
from meshproof.mesh.envoy.listeners import Telemetry, TlsChain
from meshproof.mesh.envoy.rollout import ProxyPlan
from meshproof.mesh.envoy.translate import GatewayListener, Snapshot
from meshproof.mesh.process.ports import find_free_ports, require_free
from meshproof.mesh.process.processes import Workspace
from meshproof.mesh.protocol import Address
from meshproof.rules.model import Gateway, Proxy

NAME = "istio-ingressgateway"


class Ingress:
    """The ingress gateway. Gateway ports become ports of loopback.

    The first Gateway port listens on `port` (0: a free one), the others on free ones. It serves the
    gateways of one `proxy`, or stands for all of them (None).
    """

    def __init__(
        self,
        workspace: Workspace,
        binary: Path,
        authority: Authority,
        port: int = 0,
        proxy: Proxy | None = None,
        name: str = NAME,
    ) -> None:
        if port:
            require_free(port)
        self.envoy = Envoy(name, workspace, binary)
        self.collector: Resource | None = None
        self._authority = authority
        namespace = proxy.namespace if proxy else ROOT_NAMESPACE
        self._identity = authority.issue(namespace, name)
        self._port = port
        self._proxy = proxy
        self._log = str(workspace.path / f"{name}.access.log")
        self._ports: list[int] = []
        self._listeners: dict[str, GatewayListener] = {}
        self._chains: dict[str, TlsChain] = {}
        #: Gateway port -> where it listens, if TLS ends there: such a listener may be replaced, and
        #: of two with any port (0) Envoy gives the socket of the former one to another listener.
        self._tls_ports: dict[int, int] = {}
        self._started = False

    def start(self) -> None:
        """Start the Envoy without listeners, unless it runs."""
        if self._started:
            return
        self._started = True
        self.envoy.serve("cds", self._list_own_clusters())
        self.envoy.serve("lds", [])
        self.envoy.start()

    def open(
        self, gateways: Iterable[Gateway], asked_names: Mapping[str, Iterable[str]] = {}
    ) -> None:
        """Listen on every port of the gateways. Raises NotReady if a port is in use.

        `asked_names` are the names that clients ask for at each server where TLS ends, by its key:
        the certificate has them beside the server's hosts.
        """
        self.envoy.wait_started()
        current = {
            listener.name: listener for listener in translate.list_listeners(gateways, self._proxy)
        }
        for name in self._chains.keys() - current.keys():
            del self._chains[name], self._listeners[name]
            self.envoy.withdraw(f"rds.{name}")
        for listener in current.values():
            self._listeners[listener.name] = listener
            if listener.tls and not self._has_chain(listener):
                names = asked_names.get(listener.server_key, ())
                self._chains[listener.name] = self._make_chain(listener, names)
        ports = {listener.port for listener in self._listeners.values()}
        self._ports = [port for port in self._ports if port in ports]
        self._ports += sorted(ports - set(self._ports))
        for name in self._listeners:
            if not self.envoy.get_served(f"rds.{name}"):
                self.envoy.serve(f"rds.{name}", [{"name": name, "virtual_hosts": []}])
        self.envoy.serve("lds", [self._make_listener(port) for port in self._ports])
        try:
            wait_for(
                lambda: self.envoy.has_acknowledged() or None,
                timeouts.ENVOY_START,
                lambda: (
                    f"{self.envoy.name}: does not listen; its log:\n{self.envoy.process.tail()}"
                ),
            )
        except ConfigRejected as rejected:
            is_taken = "in use" in rejected.reason.lower()
            raise NotReady(
                f"{f'port {self._port} is taken: ' if is_taken else ''}{rejected}"
            ) from None

    def _has_chain(self, listener: GatewayListener) -> bool:
        """Say whether TLS ends as a server says: Gateways may change while the ingress runs."""
        chain = self._chains.get(listener.name)
        ((_, server),) = listener.servers
        return (
            chain is not None
            and chain.hosts == tuple(dict.fromkeys(server.hosts))
            and chain.mode == (listener.tls or "SIMPLE")
        )

    def _make_chain(self, listener: GatewayListener, asked_names: Iterable[str]) -> TlsChain:
        """Return the filter chain of a server where TLS ends, with a certificate of its own."""
        ((_, server),) = listener.servers
        hosts = tuple(dict.fromkeys(server.hosts))
        names = dict.fromkeys((*(host for host in hosts if host != "*"), *asked_names))
        certificate = self._authority.issue_for_names(f"{self.envoy.name}.{listener.name}", names)
        routes_path = str(self.envoy.config_path(f"rds.{listener.name}"))
        return TlsChain(listener.name, routes_path, hosts, listener.tls or "SIMPLE", certificate)

    def _make_listener(self, port: int) -> Resource:
        """Return the listener of a Gateway port."""
        name = translate.format_gateway_route_name(port)
        listen_port = self._port if port == self._ports[0] else 0
        telemetry = Telemetry(self._log, self.collector is not None)
        chains = [
            self._chains[listener.name]
            for listener in self._listeners.values()
            if listener.tls and listener.port == port
        ]
        if chains and not listen_port:
            if port not in self._tls_ports:
                (self._tls_ports[port],) = find_free_ports(1)
            listen_port = self._tls_ports[port]
        listener = (
            listeners.make_tls_listener(name, listen_port, chains, telemetry)
            if chains
            else listeners.make_outbound_listener(
                name, listen_port, str(self.envoy.config_path(f"rds.{name}")), telemetry
            )
        )
        # Envoys share a port without a word unless told not to: two meshes would mix.
        return {**listener, "enable_reuse_port": False}

    def _list_own_clusters(self) -> list[Resource]:
        """Return the clusters that no rule needs: the trace collector, if there is one."""
        return [self.collector] if self.collector else []

    def make_plan(self, snapshot: Snapshot) -> ProxyPlan:
        """Return the config that the ingress is to serve."""
        gateways = snapshot.rules.gateways
        if self._proxy is None:
            translate.check_one_proxy(gateways)
        current = {
            listener.name: listener for listener in translate.list_listeners(gateways, self._proxy)
        }
        routes = {
            name: translate.translate_gateway_routes(
                snapshot, current.get(name, GatewayListener(name, listener.port)), self._proxy
            )
            for name, listener in self._listeners.items()
        }
        clusters = translate.translate_clusters(snapshot, self._identity)
        return ProxyPlan(self.envoy, [*clusters, *self._list_own_clusters()], routes)

    def address(self, gateway_port: int | None = None) -> Address:
        """Return the local address of a Gateway port (None: the first one).

        Raises NotReady if no Gateway has that port.
        """
        port = gateway_port or next(iter(self._ports), None)
        if port is None or port not in self._ports:
            raise NotReady(f"the ingress does not listen: no Gateway has port {port or 'at all'}")
        return Address(
            "127.0.0.1", self.envoy.read_listener_ports()[translate.format_gateway_route_name(port)]
        )
