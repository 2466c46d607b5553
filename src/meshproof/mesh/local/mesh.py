"""The local mesh: real Envoys and apps as processes on loopback, config by file-based xDS."""

from __future__ import annotations

import contextlib
import http.client
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from meshproof.apps.probe import make_anonymous_tls
from meshproof.base import timeouts
from meshproof.base.clues import Clue
from meshproof.base.errors import MeshproofError, NotReady
from meshproof.base.waiting import wait_for
from meshproof.documents.manifest import Document
from meshproof.mesh.addons import Addons
from meshproof.mesh.app_mesh import AppMesh
from meshproof.mesh.envoy import hops, listeners, topology, translate
from meshproof.mesh.envoy.admin import STATS_LISTENER
from meshproof.mesh.envoy.app import App
from meshproof.mesh.envoy.certificates import Authority
from meshproof.mesh.envoy.envoy import Envoy, Resource, find_binary
from meshproof.mesh.envoy.ingress import Ingress
from meshproof.mesh.envoy.rollout import ProxyPlan, roll_out
from meshproof.mesh.envoy.translate import Endpoint, Snapshot
from meshproof.mesh.local import renewal
from meshproof.mesh.local.sidecar import Sidecar
from meshproof.mesh.process.processes import Workspace
from meshproof.mesh.protocol import Address, Feature, Options, Served
from meshproof.rules.model import MtlsMode, RuleSet


class LocalMesh(AppMesh):
    """An ingress and, for each pod of the manifests, an app process with its sidecar Envoy."""

    name = "local"
    proven = (
        "the rules mean what you think and a real Envoy does it; "
        "the control plane is meshproof's own translator, not istiod"
    )
    supports = frozenset(Feature) - {Feature.CONTROL_PLANE, Feature.SANDBOX}
    _istiod_standin = "meshproof's translator for istiod"

    def __init__(self, options: Options, workspace: Workspace) -> None:
        super().__init__(options, workspace)
        self._binary = find_binary(options.envoy)
        self._authority = Authority(workspace.path / renewal.FOLDER)
        self._ingress: Ingress = Ingress(
            workspace, self._binary, self._authority, options.ingress_port
        )
        self._sidecars: list[Sidecar] = []
        self._mtls_modes: dict[str, MtlsMode] = {}
        self._served_at = datetime.now(UTC)
        self._collector = _make_collector_cluster(_NO_COLLECTOR) if options.checked_addons else None
        self._ingress.collector = self._collector
        self.addons = Addons(workspace, self, options.addons, self.send_traces_to)

    def _start(self) -> None:
        """Start the addons that the machine has."""
        if self._options.checked_addons:
            self.addons.start()

    def send_traces_to(self, port: int) -> None:
        """Make every Envoy send its spans (Zipkin v2) to a port of this machine."""
        self._collector = _make_collector_cluster(Address("127.0.0.1", port))
        self._ingress.collector = self._collector
        for sidecar in self._sidecars:
            sidecar.collector = self._collector
        self._serve(self._ingress_rules + self._current_rules)

    def list_stats_ports(self) -> dict[str, int]:
        """Return pod name -> port on loopback where its Envoy tells Prometheus its statistics."""
        return {
            envoy.name: envoy.read_listener_ports()[STATS_LISTENER]
            for envoy in self._list_proxies()
        }

    def count_ingress_requests(self) -> int:
        """Return how many requests the ingress's Envoy has sent to the productpage."""
        text = self._ingress.envoy.read_admin(
            "/stats?filter=^cluster.outbound.*productpage.*upstream_rq_total$"
        )
        return sum(int(line.rpartition(": ")[2]) for line in text.splitlines() if line)

    def keep_authority(self) -> None:
        """Keep the CA's key with the mesh, so that its certificates can be renewed."""
        self._authority.keep()

    def addon_url(self, name: str, seconds: float) -> str:
        """Return the URL of a running addon once it answers, or an empty string."""
        return self.addons.url(name, seconds)

    def deploy(self, documents: Sequence[Document]) -> None:
        """Start the apps in `documents` and serve the ingress rules among them."""
        new_sidecars = [self._make_sidecar(pod) for pod in self._add_manifests(documents)]
        self._sidecars += new_sidecars
        self._ingress.start()
        for sidecar in new_sidecars:
            sidecar.start_envoy()
        self._ingress.open(self._ingress_rules.gateways)
        for sidecar in new_sidecars:
            sidecar.start_app()
        for sidecar in new_sidecars:
            sidecar.app.wait_listening()
        self._serve(self._ingress_rules + self._current_rules)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(App.wait_ready, [sidecar.app for sidecar in new_sidecars]))
        self.addons.update_targets()

    def _make_sidecar(self, pod: topology.Pod) -> Sidecar:
        """Return the sidecar of a pod, not started yet."""
        identity = self._authority.issue(pod.namespace, pod.service_account)
        envoy = Envoy(pod.name, self._workspace, self._binary)
        return Sidecar(pod, envoy, identity, self._workspace, self._collector)

    def _list_apps(self) -> list[App]:
        """Return the apps of all pods."""
        return [sidecar.app for sidecar in self._sidecars]

    def _list_proxies(self) -> list[Envoy]:
        """Return all Envoys, the ingress's first."""
        return [self._ingress.envoy, *(sidecar.envoy for sidecar in self._sidecars)]

    def _serve(self, rules: RuleSet) -> Served:
        """Serve `rules` everywhere; return when every Envoy has acknowledged them."""
        snapshot = self._make_snapshot(rules)
        plans = [self._make_plan(sidecar, snapshot) for sidecar in self._sidecars]
        self.served = served = roll_out([*plans, self._ingress.make_plan(snapshot)], rules)
        self._served_at = datetime.now(UTC)
        return served

    def _make_snapshot(self, rules: RuleSet) -> Snapshot:
        """Return the snapshot of these rules and all pods."""
        endpoints = tuple(
            Endpoint(sidecar.pod, "127.0.0.1", sidecar.inbound_port) for sidecar in self._sidecars
        )
        return Snapshot(self._topology, rules, endpoints, self._options.mtls)

    def _make_plan(self, sidecar: Sidecar, snapshot: Snapshot) -> ProxyPlan:
        """Return the config that a sidecar is to serve."""
        clusters = [
            *sidecar.list_own_clusters(),
            *translate.translate_clusters(snapshot, sidecar.identity),
        ]
        routes = {"outbound": translate.translate_sidecar_routes(snapshot, sidecar.pod)}
        mode = snapshot.resolve_mtls(sidecar.pod)
        former_mode = self._mtls_modes.get(sidecar.pod.name, mode)
        self._mtls_modes[sidecar.pod.name] = mode
        widened = sidecar.make_listeners(mode if mode == former_mode else "PERMISSIVE")
        return ProxyPlan(sidecar.envoy, clusters, routes, sidecar.make_listeners(mode), widened)

    def probe_plaintext(self, replica: str) -> int | None:
        """Send plaintext to a pod's sidecar; return the HTTP status, None if it hangs up."""
        return self._probe(replica, http.client.HTTPConnection)

    def probe_tls(self, replica: str) -> int | None:
        """Do as `probe_plaintext`, by TLS without a client certificate."""
        connect = partial(http.client.HTTPSConnection, context=make_anonymous_tls())
        return self._probe(replica, connect)

    def _probe(
        self, replica: str, connect: Callable[..., http.client.HTTPConnection]
    ) -> int | None:
        """Send a request to a pod's sidecar past the client's one, by `connect`."""
        sidecar = next((sidecar for sidecar in self._sidecars if sidecar.pod.name == replica), None)
        if sidecar is None:
            raise NotReady(f"there is no pod {replica} in the mesh")
        connection = connect("127.0.0.1", sidecar.inbound_port, timeout=timeouts.REQUEST)
        try:
            connection.connect()
            connection.request("GET", sidecar.pod.readiness or "/")
            return connection.getresponse().status
        except ConnectionRefusedError:
            raise NotReady(f"{replica}: nobody listens at its sidecar") from None
        except (ConnectionError, ssl.SSLError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def diagnose(self, folder: Path) -> list[Clue]:
        """Save all logs and Envoy configs in `folder`; return what looks wrong."""
        with contextlib.suppress(MeshproofError):
            wait_for(
                self._are_logs_written, timeouts.ACCESS_LOGS, lambda: "access logs not written"
            )
        recent_hops = hops.read_hops(self._workspace.path, self._served_at)
        return [
            *super().diagnose(folder),
            *hops.describe_hops(recent_hops, self._current_rules.tables),
        ]

    def _are_logs_written(self) -> bool | None:
        """Return True once no Envoy holds back lines of its access log, else None."""
        name = "filesystem.write_total_buffered"
        texts = [envoy.read_admin(f"/stats?filter=^{name}$") for envoy in self._list_proxies()]
        return True if all(text.strip().endswith(" 0") for text in texts) else None


#: The destination of spans before a collector is up: port 9 (discard), where nobody listens.
_NO_COLLECTOR = Address("127.0.0.1", 9)


def _make_collector_cluster(address: Address) -> Resource:
    """Return the cluster of the trace collector."""
    return translate.make_local_cluster(listeners.TRACE_CLUSTER, address.host, address.port)
