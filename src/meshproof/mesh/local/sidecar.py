"""A pod of the local mesh: an app process, and the Envoy that all its traffic passes."""

from __future__ import annotations

import http.client
import re
import sys

from meshproof import apps
from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.base.files import name_file
from meshproof.base.waiting import wait_for
from meshproof.mesh.envoy import listeners, translate
from meshproof.mesh.envoy.certificates import Identity
from meshproof.mesh.envoy.envoy import ConfigRejected, Envoy, Resource
from meshproof.mesh.envoy.listeners import Telemetry
from meshproof.mesh.envoy.topology import Pod
from meshproof.mesh.process.processes import Process, Workspace
from meshproof.rules.model import MtlsMode

_LISTENING = re.compile(r"^listening on (\S+):(\d+)$", re.M)


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
        self._app: Process | None = None
        self._app_port = 0

    @property
    def _inbound_cluster(self) -> str:
        """The name of the app's cluster."""
        return f"inbound|{self.pod.port}||"

    @property
    def inbound_port(self) -> int:
        """Port of the listener where the mesh reaches this pod."""
        return self._ports["inbound"]

    @property
    def outbound_port(self) -> int:
        """Port of the listener by which this pod calls services, by their names."""
        return self._ports["outbound"]

    @property
    def app(self) -> Process:
        """The app's process. Raises NotReady before `start_app`."""
        if self._app is None:
            raise NotReady(f"{self.pod.name}: its app was not started")
        return self._app

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
        app = translate.make_local_cluster(self._inbound_cluster, "127.0.0.1", self._app_port)
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
        standin = apps.find_standin(self.pod.image)
        # -P: the app must not import modules from the user's folder.
        command = [sys.executable, "-P", "-m", standin.module, *standin.args]
        settings = {
            "HOST": "127.0.0.1",
            "PORT": "0",
            "HOSTNAME": self.pod.name,
            "HTTP_PROXY": f"http://127.0.0.1:{self._ports['outbound']}",
        }
        env = {**standin.env, **self.pod.env, **settings}
        try:
            self._app = self._workspace.start(self.pod.name, command, env)
        except NotReady as error:
            raise NotReady(f"{self.pod.at}: {error}") from None

    def wait_app(self) -> None:
        """Wait until the app has printed the port that it listens on."""

        def look() -> int | None:
            match = _LISTENING.search(self.app.read_log())
            if match is None:
                self.app.require_alive(f"{self.pod.at}")
            return int(match[2]) if match else None

        self._app_port = wait_for(
            look,
            timeouts.APP_START,
            lambda: self._describe_timeout("has not said `listening on HOST:PORT`"),
        )

    def _describe_timeout(self, problem: str) -> str:
        """Return the message about a `problem` of the app after APP_START, with its log's end."""
        return (
            f"{self.pod.name} ({self.pod.at}) {problem} after {timeouts.APP_START:.0f} s; "
            f"last lines of its log:\n{self.app.tail()}"
        )

    def wait_ready(self) -> None:
        """Wait until the app answers its readiness probe, as a kubelet would send it."""
        if self.pod.readiness is None:
            return
        wait_for(
            self._answers_probe,
            timeouts.APP_START,
            lambda: self._describe_timeout(
                f"does not answer its readiness probe GET {self.pod.readiness}"
            ),
        )

    def _answers_probe(self) -> bool | None:
        """Return True once the readiness probe succeeds, else None."""
        self.app.require_alive(f"{self.pod.at}")
        connection = http.client.HTTPConnection("127.0.0.1", self._app_port, timeout=1)
        try:
            connection.request("GET", self.pod.readiness or "/")
            return True if connection.getresponse().status < 400 else None
        except OSError:
            return None
        finally:
            connection.close()

    @property
    def is_app_alive(self) -> bool:
        """Whether the app's process runs."""
        return self._app is not None and self._app.is_alive
