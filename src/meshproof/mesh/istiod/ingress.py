"""The ingress gateway of the istiod mesh: an Envoy that istiod knows as a router."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from meshproof.base.errors import NotReady
from meshproof.base.names import CLUSTER_DOMAIN, ROOT_NAMESPACE
from meshproof.mesh.istiod.addresses import Addresses, move_privileged
from meshproof.mesh.istiod.control_plane import ControlPlane
from meshproof.mesh.istiod.objects import (
    INGRESS_LABELS,
    EndpointAddress,
    Placed,
    make_service_entry,
)
from meshproof.mesh.istiod.proxy import IstioProxy
from meshproof.mesh.process.processes import Workspace
from meshproof.mesh.protocol import Address
from meshproof.rules.model import Gateway

NAME = "istio-ingressgateway"
#: The port of a service that istiod has before there is a Gateway.
_UNUSED_PORT = 20000


class IstiodIngress:
    """The ingress gateway. Gateway ports are ports of its own address of loopback.

    A port below 1024 is another one there, as behind the Service of an ingress gateway. The lowest
    Gateway port is `port` there, if that is not 0.
    """

    def __init__(
        self,
        workspace: Workspace,
        binary: Path,
        control_plane: ControlPlane,
        addresses: Addresses,
        port: int = 0,
    ) -> None:
        self.proxy = IstioProxy(
            NAME,
            workspace,
            binary,
            control_plane.xds_port,
            addresses.take(),
            ROOT_NAMESPACE,
            INGRESS_LABELS,
            "router",
        )
        self._port = port
        self._ports: dict[int, int] = {}

    def make_service(self, gateways: Iterable[Gateway]) -> Placed:
        """Return the service of the ingress: where it listens for each port of the gateways."""
        ports = sorted({server.port for gateway in gateways for server in gateway.servers})
        for port in ports:
            if port not in self._ports:
                is_first = self._port and not self._ports
                self._ports[port] = self._port if is_first else move_privileged(port)
        host = f"{NAME}.{ROOT_NAMESPACE}.{CLUSTER_DOMAIN}"
        targets = dict(self._ports) or {_UNUSED_PORT: _UNUSED_PORT}
        endpoint = EndpointAddress(self.proxy.address, targets, INGRESS_LABELS)
        return Placed(make_service_entry(ROOT_NAMESPACE, NAME, host, targets, [endpoint]))

    def address(self, gateway_port: int | None = None) -> Address:
        """Return the address of a Gateway port (None: the lowest one).

        Raises NotReady if no Gateway has that port.
        """
        port = gateway_port or next(iter(self._ports), None)
        if port is None or port not in self._ports:
            raise NotReady(f"the ingress does not listen: no Gateway has port {port or 'at all'}")
        return Address(self.proxy.address, self._ports[port])
