"""A pod of the local mesh: an app process, and the Envoy that all its traffic passes."""

from __future__ import annotations

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.base.files import name_file
from meshproof.base.waiting import wait_for
from meshproof.mesh.envoy import listeners, translate
from meshproof.mesh.envoy.app import App
from meshproof.mesh.envoy.certificates import Identity
from meshproof.mesh.envoy.envoy import ConfigRejected, Envoy, Resource
from meshproof.mesh.envoy.listeners import Telemetry
from meshproof.mesh.envoy.topology import Pod
from meshproof.mesh.process.processes import Workspace
from meshproof.mesh.protocol import Address
from meshproof.rules.model import MtlsMode


class Sidecar:
    """One replica. Its parts start in the order in which their ports become known.

    First comes the Envoy (its outbound listener is the app's HTTP proxy), then the app, then the
    Envoy's cluster of the app.
    """

    def __init__(
        self,
        pod: Pod,
        envoy: Envoy,
        identity: Identity,
        workspace: Workspace,
        collector: Resource | None,
    ) -> None:
        self.pod = pod
        self.envoy = envoy
        self.identity = identity
        self._workspace = workspace
        self.collector = collector
        self._ports: dict[str, int] = {}
        self.app = App(pod, workspace)

    @property
    def _inbound_cluster(self) -> str:
        """The name of the app's cluster."""
        return f"inbound|{self.pod.port}||"

    @property
    def inbound_port(self) -> int:
        """Port of the listener where the mesh reaches this pod."""
        return self._ports["inbound"]

    def make_listeners(self, mode: MtlsMode) -> list[Resource]:
        """Return the inbound and outbound listener for an mTLS mode."""
        log = self._workspace.path / f"{name_file(self.pod.name)}.access.log"
        telemetry = Telemetry(str(log), self.collector is not None)
        routes = str(self.envoy.config_path("rds.outbound"))
        return [
            listeners.make_inbound_listener(
                0, self._inbound_cluster, mode, self.identity, telemetry
            ),
            listeners.make_outbound_listener("outbound", 0, routes, telemetry),
        ]

    def list_own_clusters(self) -> list[Resource]:
        """Return the clusters that no rule needs: the app and the trace collector."""
        app = translate.make_local_cluster(self._inbound_cluster, "127.0.0.1", self.app.port)
        return [app, *([self.collector] if self.collector else [])]

    def start_envoy(self) -> None:
        """Start the Envoy with open listeners and no routes."""
        self.envoy.serve("rds.outbound", [{"name": "outbound", "virtual_hosts": []}])
        self.envoy.serve("cds", [self.collector] if self.collector else [])
        self.envoy.serve("lds", self.make_listeners("PERMISSIVE"))
        self.envoy.start()

    def start_app(self) -> None:
        """Wait for the Envoy, then start the app with the Envoy as its HTTP proxy."""
        self.envoy.wait_started()
        try:
            wait_for(
                lambda: self.envoy.has_acknowledged() or None,
                timeouts.ENVOY_START,
                lambda: (
                    f"{self.pod.name}: its Envoy does not listen; "
                    f"last lines of its log:\n{self.envoy.process.tail()}"
                ),
            )
        except ConfigRejected as rejected:
            raise NotReady(str(rejected)) from None
        self._ports = self.envoy.read_listener_ports()
        self.app.start(Address("127.0.0.1", self._ports["outbound"]))
