"""The gateways of the istiod mesh: Envoys that istiod knows as routers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from meshproof.base.errors import NotReady
from meshproof.base.names import CLUSTER_DOMAIN, ROOT_NAMESPACE
from meshproof.mesh.envoy.certificates import Identity
from meshproof.mesh.istiod.addresses import Addresses, move_privileged
from meshproof.mesh.istiod.control_plane import ControlPlane
from meshproof.mesh.istiod.objects import (
    GATEWAY_NAME_LABEL,
    INGRESS_LABELS,
    INGRESS_NAME,
    ROUTER_LABEL,
    EndpointAddress,
    Placed,
    make_address_patch,
    make_service_entry,
    name_gateway_service,
)
from meshproof.mesh.istiod.proxy import IstioProxy
from meshproof.mesh.process.processes import Workspace
from meshproof.mesh.protocol import Address
from meshproof.rules.model import Gateway

#: The port of a service that istiod has before there is a Gateway.
_UNUSED_PORT = 20000


class IstiodIngress:
    """A proxy for gateways. Gateway ports are ports of its own address of loopback.

    Without an `owner` it is the ingress gateway, for all Gateways of Istio; a Gateway of Gateway
    API (namespace/name) owns one for itself. A port below 1024 is another one there, as behind the
    Service of an ingress gateway. The lowest Gateway port is `port` there, if that is not 0.
    With an `identity` it serves TLS. Without an `owner` it is in `namespace`.
    """

    def __init__(
        self,
        workspace: Workspace,
        binary: Path,
        control_plane: ControlPlane,
        addresses: Addresses,
        port: int = 0,
        owner: str = "",
        identity: Identity | None = None,
        namespace: str = ROOT_NAMESPACE,
    ) -> None:
        self._owner = owner
        name, labels = INGRESS_NAME, INGRESS_LABELS
        self._service = INGRESS_NAME
        if owner:
            namespace, _, gateway = owner.partition("/")
            self._service = name_gateway_service(gateway)
            name = f"{self._service}-{namespace}"  # a Gateway of another namespace may have it
            labels = (ROUTER_LABEL, (GATEWAY_NAME_LABEL, gateway))
        #: istiod gives certificates of Gateways to a proxy that shows who it is.
        self._serves_tls = identity is not None
        self.proxy = IstioProxy(
            name,
            workspace,
            binary,
            control_plane.secure_port if identity else control_plane.xds_port,
            addresses.take(),
            namespace,
            labels,
            "router",
            identity,
        )
        self._port = port
        self._ports: dict[int, int] = {}

    def make_objects(self, gateways: Iterable[Gateway]) -> list[Placed]:
        """Return what istiod must know of it: its service, with a port for each of the gateways."""
        servers = (
            server
            for gateway in gateways
            if any(proxy.name == self._owner for proxy in gateway.proxies)
            for server in gateway.servers
        )
        ports = sorted({server.port for server in servers if not server.tls or self._serves_tls})
        for port in ports:
            if port not in self._ports:
                is_first = self._port and not self._ports
                self._ports[port] = self._port if is_first else move_privileged(port)
        proxy = self.proxy
        host = f"{self._service}.{proxy.namespace}.{CLUSTER_DOMAIN}"
        targets = dict(self._ports) or {_UNUSED_PORT: _UNUSED_PORT}
        endpoint = EndpointAddress(proxy.address, targets, proxy.labels)
        entry = make_service_entry(proxy.namespace, self._service, host, targets, [endpoint])
        patch = make_address_patch(proxy.namespace, proxy.name, proxy.labels, proxy.address)
        return [Placed(entry), Placed(patch)]

    def address(self, gateway_port: int | None = None) -> Address:
        """Return the address of a Gateway port (None: the lowest one).

        Raises NotReady if no Gateway has that port.
        """
        port = gateway_port or next(iter(self._ports), None)
        if port is None or port not in self._ports:
            raise NotReady(f"the ingress does not listen: no Gateway has port {port or 'at all'}")
        return Address(self.proxy.address, self._ports[port])
