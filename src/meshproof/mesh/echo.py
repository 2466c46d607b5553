"""A local mesh for rules alone: echo workloads for every host that the rules name, no apps.

Three Envoys do it, however many rules there are: one answers for all workloads (a listener for
each), one is every client's sidecar (a listener for each set of source labels), one is the ingress.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from meshproof import timeouts
from meshproof.cases import Case, Destination
from meshproof.errors import BadRules, NotReady
from meshproof.manifest import At
from meshproof.mesh import ingress, listeners, process, translate
from meshproof.mesh.certificates import Authority
from meshproof.mesh.envoy import Envoy, Rejected, Resource, find_binary
from meshproof.mesh.ingress import Ingress
from meshproof.mesh.listeners import Telemetry
from meshproof.mesh.process import Workspace, wait_for
from meshproof.mesh.protocol import Address, Options
from meshproof.mesh.rollout import Plan, rollout
from meshproof.mesh.topology import Pod, Service, Topology
from meshproof.mesh.translate import Endpoint, Snapshot
from meshproof.rules.model import CLUSTER_DOMAIN, MESH, ROOT_NAMESPACE, Labels, Match, RuleSet

#: Header by which an echo workload says who it is.
SERVED_BY = "x-served-by"
#: Label of the workload that no subset of the rules selects: it shows that others are not moved.
OTHER: Labels = (("version", "other"),)
_DEFAULT_PORT = 80


@dataclass(frozen=True)
class Echo:
    """An echo workload: the service it belongs to and its labels; `name` is what it answers."""

    name: str
    host: str
    labels: Labels


class EchoMesh:
    """Rules served by real Envoys to echo workloads; see `opened`."""

    proven = (
        "a real Envoy routes as these rules say, to workloads that only echo; "
        "the control plane is meshproof's own translator, not istiod"
    )

    def __init__(
        self, options: Options, workspace: Workspace, ports: Mapping[str, tuple[int, ...]]
    ) -> None:
        binary = find_binary(options.envoy)
        self._workspace = workspace
        self._known_ports = ports
        self._identity = Authority(workspace.path / "certificates").issue(
            ROOT_NAMESPACE, ingress.NAME
        )
        self._servers = Envoy("echo", workspace, binary)
        self._clients = Envoy("client", workspace, binary)
        self._ingress = Ingress(workspace, binary, self._identity, options.ingress_port)
        self._sources: dict[Labels, str] = {}
        self.echoes: list[Echo] = []

    @classmethod
    @contextlib.contextmanager
    def opened(
        cls, options: Options, rules: RuleSet, ports: Mapping[str, tuple[int, ...]] | None = None
    ) -> Iterator[EchoMesh]:
        """Serve `rules`; end everything with the context.

        `ports` are full host -> ports of the services that are known; others get port 80 and those
        that the rules name. Raises BadRules when an Envoy rejects the rules.
        """
        with process.interruptible():
            workspace = Workspace.create()
            try:
                mesh = cls(options, workspace, ports or {})
                mesh._serve(rules)
                yield mesh
            finally:
                workspace.close()

    def _serve(self, rules: RuleSet) -> None:
        self.echoes = _echoes(rules)
        sources = {match.source for _, match in _matches(rules)} | {()}
        self._sources = {labels: f"source-{at}" for at, labels in enumerate(sorted(sources))}
        self._start()
        opened = self._servers.listeners()
        pods = {echo.name: _pod(echo) for echo in self.echoes}
        endpoints = tuple(
            Endpoint(pods[name], "127.0.0.1", opened[name]) for name in pods if name in opened
        )
        topology = Topology(tuple(self._services(rules)), tuple(pods.values()))
        snapshot = Snapshot(topology, rules, endpoints, "DISABLE")
        self._ingress.open(rules.gateways)
        rollout([self._client_plan(snapshot), self._ingress.plan(snapshot)], rules)

    def _start(self) -> None:
        self._servers.serve("cds", [])
        self._servers.serve("lds", [_echo_listener(echo.name) for echo in self.echoes])
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
            name: {**translate.sidecar_routes(snapshot, _client(labels)), "name": name}
            for labels, name in self._sources.items()
        }
        return Plan(self._clients, translate.clusters(snapshot, self._identity), routes)

    def _services(self, rules: RuleSet) -> Iterator[Service]:
        wanted: dict[str, set[int]] = {}
        for host in _hosts(rules):
            wanted.setdefault(host, set())
        for route in rules.routes:
            for arm in route.arms:
                for target in arm.split:
                    wanted[target.host] |= {target.port} if target.port else set()
        for host, named in wanted.items():
            name, namespace = host.split(".")[:2]
            ports = named | set(self._known_ports.get(host, ())) or {_DEFAULT_PORT}
            selector = (("app", name),)
            yield Service(name, namespace, selector, {one: one for one in ports}, At("echo", 1))

    def address(self, gateway: str, source: Labels = ()) -> Address:
        """Return where a client sends a request: a sidecar's listener, or the ingress."""
        if gateway != MESH:
            return self._ingress.address()
        name = self._sources.get(source) or self._sources[()]
        return Address("127.0.0.1", self._clients.listeners()[name])

    def names(self, case: Case) -> dict[str, str]:
        """Return name of an echo workload -> destination of the case that it belongs to."""
        return {
            echo.name: _destination(one)
            for one, _ in case.shares
            for echo in self.echoes
            if echo.host == one.host and set(one.labels) <= set(echo.labels)
        }

    def expected(self, case: Case) -> dict[str, float]:
        """Return destination -> share (0..1) of a case, by the names that `names` gives."""
        return {_destination(one): share for one, share in case.shares}

    def port(self, host: str) -> int:
        """Return the first port of a service."""
        return min(self._known_ports.get(host, (_DEFAULT_PORT,)))


def _destination(one: Destination) -> str:
    return f"{one.host.split('.')[0]} {one.subset}".strip()


def _hosts(rules: RuleSet) -> list[str]:
    """Return every service that the rules are about or send to, in order."""
    found: dict[str, None] = {}
    for route in rules.routes:
        if route.gateways is None or MESH in route.gateways:
            found.update(dict.fromkeys(route.hosts))
        for arm in route.arms:
            found.update(dict.fromkeys(target.host for target in arm.split))
    for host in found:
        if not host.endswith(f".{CLUSTER_DOMAIN}") or len(host.split(".")) != 5:
            raise BadRules(f"{host}: only services of the cluster get an echo workload yet")
    return list(found)


def _echoes(rules: RuleSet) -> list[Echo]:
    """Return an echo workload for each subset of each service, and one that no subset selects."""
    subsets: dict[str, dict[Labels, None]] = {host: {OTHER: None} for host in _hosts(rules)}
    for route in rules.routes:
        for arm in route.arms:
            for target in arm.split:
                if target.labels:
                    subsets[target.host][target.labels] = None
    return [
        Echo(f"{host.split('.')[0]}.{host.split('.')[1]}.{_words(labels)}", host, labels)
        for host, found in subsets.items()
        for labels in found
    ]


def _words(labels: Labels) -> str:
    return "-".join(value for _, value in labels)


def _matches(rules: RuleSet) -> Iterable[tuple[str, Match]]:
    return [
        (route.name, match) for route in rules.routes for arm in route.arms for match in arm.matches
    ]


def _pod(echo: Echo) -> Pod:
    name, namespace = echo.host.split(".")[:2]
    return Pod(
        name=echo.name,
        workload=echo.name,
        namespace=namespace,
        labels=tuple(sorted({("app", name), *echo.labels})),
        service_account="default",
        image="meshproof/echo",
        env={},
        port=_DEFAULT_PORT,
        readiness=None,
        at=At("echo", 1),
    )


def _client(labels: Labels) -> Pod:
    plain = _pod(Echo("client", f"client.default.{CLUSTER_DOMAIN}", ()))
    return replace(plain, labels=labels)


def _echo_listener(name: str) -> Resource:
    """Return a listener that answers every request with its name and what it was asked."""
    seen = {"x-seen-path": "%REQ(:PATH)%", "x-seen-authority": "%REQ(:AUTHORITY)%"}
    headers = [
        {"header": {"key": key, "value": value}} for key, value in {SERVED_BY: name, **seen}.items()
    ]
    answer = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": f"{name}\n"}},
    }
    host = {"name": name, "domains": ["*"], "routes": [answer], "response_headers_to_add": headers}
    return listeners.answering(name, {"name": name, "virtual_hosts": [host]})
