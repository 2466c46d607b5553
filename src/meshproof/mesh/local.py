"""The local mesh: real Envoys and apps as processes on loopback, config by file-based xDS."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from meshproof import apps, rules, timeouts
from meshproof.errors import BadRules, NotReady
from meshproof.manifest import Document
from meshproof.mesh import listeners, process, topology, translate
from meshproof.mesh.addons import Addons
from meshproof.mesh.certificates import Authority
from meshproof.mesh.envoy import Envoy, Rejected, Resource, find_binary
from meshproof.mesh.listeners import Telemetry
from meshproof.mesh.process import Workspace, wait_for
from meshproof.mesh.protocol import Address, Feature, Options, Replica
from meshproof.mesh.sidecar import Sidecar
from meshproof.mesh.translate import Endpoint, Snapshot
from meshproof.rules.model import ROOT_NAMESPACE, RuleSet

INGRESS = "istio-ingressgateway"
_RULE_GROUPS = ("networking.istio.io", "security.istio.io", "config.istio.io")


class LocalMesh:
    """An ingress Envoy and, for each pod of the manifests, an app process with its sidecar Envoy."""

    name = "local"
    proven = (
        "the rules mean what you think and a real Envoy does it; "
        "the control plane is meshproof's own translator, not istiod"
    )
    supports = frozenset(Feature)

    def __init__(self, options: Options, workspace: Workspace) -> None:
        self._options = options
        self._workspace = workspace
        self._binary = find_binary(options.envoy)
        self._authority = Authority(workspace.path / "certificates")
        self._identity = self._authority.issue(ROOT_NAMESPACE, INGRESS)
        self._ingress = Envoy(INGRESS, workspace, self._binary)
        self._ingress_ports: list[int] = []
        self._sidecars: list[Sidecar] = []
        self._topology = topology.Topology()
        self._base = RuleSet()
        self._current = RuleSet()
        self._collector = _collector(_NOBODY) if options.with_addons else None
        self.addons = Addons(workspace, self, options.addons)

    @classmethod
    @contextlib.contextmanager
    def opened(cls, options: Options) -> Iterator[LocalMesh]:
        """Start an empty mesh and end it, with everything in it, when the context ends."""
        with process.interruptible():
            workspace = Workspace.create()
            try:
                mesh = cls(options, workspace)
                if options.with_addons:
                    mesh.addons.start()
                yield mesh
            finally:
                if workspace.kept is None:
                    workspace.close()

    @property
    def workspace(self) -> Workspace:
        """Folder and processes of this mesh."""
        return self._workspace

    @property
    def standins(self) -> list[str]:
        """What stands in for an official part."""
        modules: dict[str, list[str]] = {}
        for image in sorted({sidecar.pod.image for sidecar in self._sidecars}):
            modules.setdefault(apps.find(image).module, []).append(apps.repository(image))
        return [
            "meshproof's translator for istiod",
            "upstream Envoy for istio-proxy",
            *(f"{module} for {', '.join(images)}" for module, images in modules.items()),
        ]

    def trace_to(self, port: int) -> None:
        """Let every Envoy send its spans (Zipkin v2) to that port of this machine."""
        self._collector = _collector(Address("127.0.0.1", port))
        for sidecar in self._sidecars:
            sidecar.collector = self._collector
        self._serve(self._base + self._current)

    def admins(self) -> dict[str, tuple[str, int]]:
        """Return pod name -> admin address of its Envoy."""
        return {envoy.name: envoy.admin for envoy in self._envoys()}

    def ingress_requests(self) -> int:
        """Return how many requests the ingress's Envoy has sent to the productpage."""
        text = self._ingress.get("/stats?filter=^cluster.outbound.*productpage.*upstream_rq_total$")
        return sum(int(line.rpartition(": ")[2]) for line in text.splitlines() if line)

    def addon_url(self, name: str) -> str:
        """Return the URL of an addon that runs, or an empty string."""
        return self.addons.url(name)

    def deploy(self, documents: Sequence[Document]) -> None:
        """Stand up the apps in `documents` and serve the rules of their way in."""
        routing = [document for document in documents if document.group in _RULE_GROUPS]
        workloads = topology.read(
            document for document in documents if document.group not in _RULE_GROUPS
        )
        for pod in workloads.pods:
            _require_standin(pod)
        first = not self._sidecars
        self._base = self._base + rules.read(routing) if routing else self._base
        self._topology = self._topology + workloads
        added = [self._sidecar(pod) for pod in workloads.pods]
        self._sidecars += added
        if first:
            self._start_ingress()
        for sidecar in added:
            sidecar.start_envoy()
        if first:
            self._ingress.wait_started()
            self._wait_ingress()
        for sidecar in added:
            sidecar.start_app()
        for sidecar in added:
            sidecar.wait_app()
        self._serve(self._base + self._current)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(Sidecar.wait_ready, added))
        self.addons.watch()

    def _sidecar(self, pod: topology.Pod) -> Sidecar:
        identity = self._authority.issue(pod.namespace, pod.service_account)
        envoy = Envoy(pod.name, self._workspace, self._binary)
        return Sidecar(pod, envoy, identity, self._workspace, self._collector)

    def _start_ingress(self) -> None:
        self._ingress_ports = sorted(
            {server.port for gateway in self._base.gateways for server in gateway.servers}
        )
        telemetry = Telemetry(
            str(self._workspace.path / f"{INGRESS}.access.log"), self._collector is not None
        )
        opened = []
        for index, port in enumerate(self._ingress_ports):
            name = translate.gateway_route_name(port)
            path = str(self._ingress.config_path(f"rds.{name}"))
            wanted = self._options.ingress_port if index == 0 else 0
            opened.append(listeners.outbound(name, wanted, path, telemetry))
            self._ingress.serve(f"rds.{name}", [{"name": name, "virtual_hosts": []}])
        self._ingress.serve("cds", [self._collector] if self._collector else [])
        self._ingress.serve("lds", opened)
        self._ingress.start()

    def _wait_ingress(self) -> None:
        try:
            wait_for(
                lambda: self._ingress.acknowledged() or None,
                timeouts.ENVOY_START,
                lambda: f"{INGRESS}: does not listen; its log:\n{self._ingress.process.tail()}",
            )
        except Rejected as rejected:
            port = self._options.ingress_port
            taken = f"port {port} is taken: " if "in use" in rejected.reason.lower() else ""
            raise NotReady(f"{taken}{rejected}") from None

    def _envoys(self) -> list[Envoy]:
        return [self._ingress, *(sidecar.envoy for sidecar in self._sidecars)]

    @contextlib.contextmanager
    def applied(self, rules: RuleSet) -> Iterator[None]:
        """Serve `rules` beside those of the way in while the context lasts."""
        before = self._current
        try:
            self._serve(self._base + rules)
            self._current = rules
            yield
        finally:
            self._current = before
            self._serve(self._base + before)

    def _serve(self, wanted: RuleSet) -> None:
        """Serve `wanted` everywhere: clusters first, then routes, then unused clusters away.

        The order is istiod's (make before break): no route ever names a cluster that is not there.
        """
        snapshot = self._snapshot(wanted)
        plans = [self._plan(sidecar, snapshot) for sidecar in self._sidecars]
        plans.append(self._ingress_plan(snapshot))
        try:
            self._await([plan.grow for plan in plans])
            self._await([plan.route for plan in plans])
            self._await([plan.shrink for plan in plans])
        except Rejected as rejected:
            raise BadRules(f"{_culprit(wanted, rejected.reason)}{rejected}") from None

    def _snapshot(self, wanted: RuleSet) -> Snapshot:
        endpoints = tuple(
            Endpoint(sidecar.pod, "127.0.0.1", sidecar.inbound_port) for sidecar in self._sidecars
        )
        return Snapshot(self._topology, wanted, endpoints, self._options.mtls)

    def _plan(self, sidecar: Sidecar, snapshot: Snapshot) -> Plan:
        clusters = [*sidecar.own_clusters(), *translate.clusters(snapshot, sidecar.identity)]
        routes = {"outbound": translate.sidecar_routes(snapshot, sidecar.pod)}
        opened = sidecar.listeners(snapshot.mtls(sidecar.pod))
        return Plan(sidecar.envoy, clusters, routes, opened)

    def _ingress_plan(self, snapshot: Snapshot) -> Plan:
        routes = {
            translate.gateway_route_name(port): translate.gateway_routes(snapshot, port)
            for port in self._ingress_ports
        }
        clusters = translate.clusters(snapshot, self._identity)
        return Plan(
            self._ingress, [*clusters, *([self._collector] if self._collector else [])], routes
        )

    def _await(self, steps: list[Callable[[], None]]) -> None:
        """Take one step on every Envoy, then wait until each has acknowledged it."""
        for step in steps:
            step()
        waiting = self._envoys()

        def look() -> bool | None:
            waiting[:] = [envoy for envoy in waiting if not envoy.acknowledged()]
            return True if not waiting else None

        wait_for(look, timeouts.CONFIG_SERVED, lambda: _stale(waiting))

    def address(self, service: str) -> Address:
        """Return where a client outside the mesh reaches the way in, `ingress`."""
        if service != "ingress":
            raise NotReady(f"{service} is not reached from outside the mesh, only `ingress` is")
        if not self._ingress_ports:
            raise NotReady("the ingress has no listener: no Gateway was deployed")
        name = translate.gateway_route_name(self._ingress_ports[0])
        return Address("127.0.0.1", self._ingress.listeners()[name])

    def plaintext(self, replica: str) -> int | None:
        """Ask a pod's sidecar in plaintext; return the HTTP status, None when it hangs up."""
        sidecar = next((one for one in self._sidecars if one.pod.name == replica), None)
        if sidecar is None:
            raise NotReady(f"there is no pod {replica} in the mesh")
        connection = http.client.HTTPConnection(
            "127.0.0.1", sidecar.inbound_port, timeout=timeouts.REQUEST
        )
        try:
            connection.connect()
            connection.request("GET", sidecar.pod.readiness or "/")
            return connection.getresponse().status
        except ConnectionRefusedError:
            raise NotReady(f"{replica}: nobody listens at its sidecar") from None
        except (ConnectionError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def replicas(self) -> list[Replica]:
        """Return the pods of the mesh."""
        return [
            Replica(
                pod.name, pod.workload, pod.namespace, dict(pod.labels).get("app", ""), pod.version
            )
            for pod in (sidecar.pod for sidecar in self._sidecars)
        ]

    def diagnose(self, folder: Path) -> str:
        """Save every log and Envoy config dump in `folder`; name the processes that have ended."""
        import shutil

        folder.mkdir(parents=True, exist_ok=True)
        for log in self._workspace.path.glob("*.log"):
            shutil.copy(log, folder / log.name)
        said = []
        for envoy in self._envoys():
            try:
                text = envoy.get("/config_dump")
                (folder / f"{envoy.name}.config_dump.json").write_text(text, encoding="utf-8")
            except NotReady as error:
                said.append(str(error))
        for sidecar in self._sidecars:
            if not sidecar.app_alive:
                said.append(f"{sidecar.pod.name}: its app has ended")
        return "\n".join(said)


class Plan:
    """What one Envoy is to serve, in the three steps of a change."""

    def __init__(
        self,
        envoy: Envoy,
        clusters: list[Resource],
        routes: dict[str, Resource],
        opened: list[Resource] | None = None,
    ) -> None:
        self._envoy = envoy
        self._clusters = clusters
        self._routes = routes
        self._opened = opened

    def grow(self) -> None:
        """Add the clusters that the new routes need, keep those of the old routes."""
        wanted = {cluster["name"] for cluster in self._clusters}
        kept = [one for one in self._envoy.serving("cds") if one["name"] not in wanted]
        self._envoy.serve("cds", [*self._clusters, *kept])

    def route(self) -> None:
        """Switch the routes, and the listeners where they differ."""
        for name, routes in self._routes.items():
            self._envoy.serve(f"rds.{name}", [routes])
        if self._opened is not None:
            self._envoy.serve("lds", self._opened)

    def shrink(self) -> None:
        """Drop the clusters that no route needs any more."""
        self._envoy.serve("cds", self._clusters)


#: Where spans go before a collector is up: port 9 (discard), where nobody listens.
_NOBODY = Address("127.0.0.1", 9)


def _collector(address: Address) -> Resource:
    return translate.local_cluster(listeners.TRACE_CLUSTER, address.host, address.port)


def _require_standin(pod: topology.Pod) -> None:
    try:
        apps.find(pod.image)
    except LookupError as error:
        raise BadRules(f"{pod.at}: {pod.workload}: {error}") from None


def _stale(waiting: list[Envoy]) -> str:
    lines = []
    for envoy in waiting:
        kinds = ", ".join(envoy.stale(envoy.state())) or "listeners or clusters still warming"
        lines.append(f"{envoy.name} has not taken: {kinds}")
    return (
        f"the rules are not served by every proxy after {timeouts.CONFIG_SERVED:.0f} s "
        "(stale config): " + "; ".join(lines)
    )


def _culprit(wanted: RuleSet, reason: str) -> str:
    """Return `file:line: ` of the value that Envoy's words quote, if there is one."""
    for route in wanted.routes:
        for arm in route.arms:
            for match in arm.matches:
                strings = [match.uri, match.method, match.authority]
                strings += [one for _, one in match.headers + match.without_headers + match.query]
                for one in strings:
                    if one is not None and len(one.value) > 2 and one.value in reason:
                        return f"{one.at}: "
    return ""
