"""A local mesh for rules alone: echo workloads for every host that the rules name, no apps.

Three Envoys do it, however many rules there are: one answers for all workloads (a listener for
each), one is every client's sidecar (a listener for each set of source labels), one is the ingress.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from meshproof import timeouts
from meshproof.cases import Call, Case, Destination
from meshproof.errors import NotReady
from meshproof.manifest import At
from meshproof.mesh import ingress, listeners, process, translate
from meshproof.mesh.certificates import Authority
from meshproof.mesh.copies import Copies
from meshproof.mesh.echo_listener import Lesson, listener
from meshproof.mesh.envoy import Envoy, Rejected, Resource, find_binary
from meshproof.mesh.ingress import Ingress
from meshproof.mesh.listeners import Telemetry
from meshproof.mesh.process import Workspace, wait_for
from meshproof.mesh.protocol import Address, Options, Served
from meshproof.mesh.rollout import Plan, rollout
from meshproof.mesh.topology import Pod, Service, Topology
from meshproof.mesh.translate import Endpoint, Snapshot
from meshproof.rules.model import (
    CLUSTER_DOMAIN,
    MESH,
    ROOT_NAMESPACE,
    Labels,
    Route,
    RuleSet,
    is_service,
)
from meshproof.surroundings import Surroundings

#: Label of the workload that no subset of the rules selects: it shows that others are not moved.
OTHER: Labels = (("version", "other"),)
_DEFAULT_PORTS = (80,)


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
        self,
        options: Options,
        workspace: Workspace,
        rules: RuleSet,
        cases: Iterable[Case],
        around: Surroundings,
    ) -> None:
        binary = find_binary(options.envoy)
        self._workspace = workspace
        self._rules = rules
        self._around = around
        self._identity = Authority(workspace.path / "certificates").issue(
            ROOT_NAMESPACE, ingress.NAME
        )
        self._servers = Envoy("echo", workspace, binary)
        self._clients = Envoy("client", workspace, binary)
        self._ingress = Ingress(workspace, binary, self._identity, options.ingress_port)
        cases = list(cases)
        calls = [case.call for case in cases if case.call.gateway == MESH]
        sources = sorted({_source(call) for call in calls})
        self._sources = {one: f"source-{at}" for at, one in enumerate(sources)}
        self._lesson = Lesson.of(cases)
        self._copies = Copies(
            workspace.path / "copies.log", self._servers, (self._clients, self._ingress.envoy)
        )
        self.echoes = _echoes(rules, around)
        self.served: Served | None = None

    @classmethod
    @contextlib.contextmanager
    def opened(
        cls, options: Options, rules: RuleSet, cases: Iterable[Case], around: Surroundings
    ) -> Iterator[EchoMesh]:
        """Serve the rules to the clients that the cases need; end everything with the context.

        Raises BadRules when an Envoy rejects the rules.
        """
        with process.interruptible(), Workspace.create() as workspace:
            mesh = cls(options, workspace, rules, cases, around)
            mesh._serve()
            yield mesh

    def _serve(self) -> None:
        self._start()
        opened = self._servers.listeners()
        pods = {one.name: _pod(one, _selector(self._around, one.host)) for one in self.echoes}
        endpoints = tuple(Endpoint(pods[name], "127.0.0.1", opened[name]) for name in pods)
        topology = Topology(tuple(self._services()), tuple(pods.values()))
        snapshot = Snapshot(topology, self._rules, endpoints, "DISABLE")
        self._ingress.open(self._rules.gateways)
        plans = [self._client_plan(snapshot), self._ingress.plan(snapshot)]
        self.served = rollout(plans, self._rules)

    def _start(self) -> None:
        self._servers.serve("cds", [])
        self._servers.serve("lds", [self._listener(echo) for echo in self.echoes])
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

    def _listener(self, echo: Echo) -> Resource:
        return listener(echo.name, self._lesson, str(self._copies.path))

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
            name: {**translate.sidecar_routes(snapshot, _client(*source)), "name": name}
            for source, name in self._sources.items()
        }
        return Plan(self._clients, translate.clusters(snapshot, self._identity), routes)

    def _services(self) -> Iterator[Service]:
        for host in dict.fromkeys(echo.host for echo in self.echoes):
            name, namespace = _named_in(host)
            ports = self._around.ports.get(host, _DEFAULT_PORTS)
            selector = _selector(self._around, host)
            yield Service(
                name,
                namespace,
                selector,
                {one: one for one in ports},
                At("echo", 1),
                namespace == _OUTSIDE,
            )

    def address(self, call: Call) -> Address:
        """Return where a client sends a call: a sidecar's listener, or the ingress."""
        if call.gateway == MESH:
            return self._sidecars[_source(call)]
        return self._gateways[call.port]

    @cached_property
    def _sidecars(self) -> dict[_Source, Address]:
        opened = self._clients.listeners()
        return {one: Address("127.0.0.1", opened[name]) for one, name in self._sources.items()}

    @cached_property
    def _gateways(self) -> dict[int, Address]:
        servers = [server for gateway in self._rules.gateways for server in gateway.servers]
        return {server.port: self._ingress.address(server.port) for server in servers}

    def names(self, case: Case) -> dict[str, str]:
        """Return name of an echo workload -> destination of the case that it belongs to.

        Raises TwoAtOnce for one that belongs to two: an answer of it does not tell which was meant.
        """
        found: dict[str, str] = {}
        for one, _ in case.shares:
            for echo in self._behind(one):
                named = _destination(one, case)
                if found.setdefault(echo.name, named) != named:
                    raise TwoAtOnce(f"{echo.name} is in {found[echo.name]} and in {named}")
        return found

    def expected(self, case: Case) -> dict[str, float]:
        """Return destination -> share (0..1) of a case, by the names that `names` gives."""
        return {_destination(one, case): share for one, share in case.shares}

    def _behind(self, one: Destination) -> list[Echo]:
        return [
            echo
            for echo in self.echoes
            if echo.host == one.host and set(one.labels) <= set(echo.labels)
        ]

    def copied(self, case: Case, asked: Sequence[tuple[str, str]]) -> list[int]:
        """Return how many copies the mirror of a case has got of each of its last requests.

        `asked` are, for each, the value of its header MIRROR and the workload that answered it.
        """
        (goal, _), *_ = case.answer.mirrors
        behind = [echo.name for echo in self._behind(goal)]
        news = self._copies.news()
        return [
            sum(news[token, name] for name in behind) - (answered in behind)
            for token, answered in asked
        ]


class TwoAtOnce(Exception):
    """A split between parts that overlap, as a service and one of its subsets."""


def _destination(one: Destination, case: Case) -> str:
    """Return a destination in words: with its namespace where the case has two of that name."""
    name, namespace = _named_in(one.host)
    hosts = {other.host for other, _ in case.shares if _named_in(other.host)[0] == name}
    return f"{name}{f'.{namespace}' if len(hosts) > 1 else ''} {one.subset}".strip()


#: Where hosts are that are no services of the cluster.
_OUTSIDE = "outside"


def _named_in(host: str) -> tuple[str, str]:
    """Return name and namespace of a service."""
    if not host.endswith(f".{CLUSTER_DOMAIN}"):
        return host, _OUTSIDE
    name, namespace = host.split(".")[:2]
    return name, namespace


def _selector(around: Surroundings, host: str) -> Labels:
    return around.selectors.get(host) or (("app", _named_in(host)[0]),)


def _hosts(rules: RuleSet, around: Surroundings) -> dict[str, At]:
    """Return every service that the rules are about or send to, in order, with a place of it.

    Raises BadRules for a host that is no service of the cluster, nor of a ServiceEntry.
    """
    found: dict[str, At] = {}
    for route in rules.routes:
        for host, at in _named(route):
            if not is_service(host) and host not in around.outside:
                raise at.error(
                    f"{host}: only services of the cluster get an echo workload yet, and hosts of "
                    "a ServiceEntry"
                )
            found.setdefault(host, at)
    return found


def _named(route: Route) -> Iterator[tuple[str, At]]:
    if route.gateways is None or MESH in route.gateways:
        yield from ((host, route.at) for host in route.hosts)
    for target in (target for arm in route.arms for target in arm.targets):
        yield target.host, target.at or route.at


def _echoes(rules: RuleSet, around: Surroundings) -> list[Echo]:
    """Return the echo workloads: those that are known, else one for each subset and one of none."""
    found: dict[str, Echo] = {}
    for host in _hosts(rules, around):
        name, namespace = _named_in(host)
        for labels in around.workloads.get(host) or _subsets(rules, around, host):
            base = called = f"{name}.{namespace}.{_words(labels, around.selectors.get(host, ()))}"
            for number in itertools.count(2):
                if found.setdefault(called, Echo(called, host, labels)).labels == labels:
                    break
                called = f"{base}-{number}"
    return list(found.values())


def _subsets(rules: RuleSet, around: Surroundings, host: str) -> list[Labels]:
    arms = [arm for route in rules.routes for arm in route.arms]
    used = [target.labels for arm in arms for target in arm.targets if target.host == host]
    named = [labels for labels in (*used, *around.subsets.get(host, ())) if labels]
    return list(dict.fromkeys([OTHER, *named]))


def _words(labels: Labels, selector: Labels) -> str:
    return "-".join(value for key, value in labels if (key, value) not in selector) or "plain"


def _pod(echo: Echo, selector: Labels) -> Pod:
    namespace = _named_in(echo.host)[1]
    return Pod(
        name=echo.name,
        workload=echo.name,
        namespace=namespace,
        labels=tuple(sorted({*selector, *echo.labels})),
        service_account="default",
        image="meshproof/echo",
        env={},
        port=_DEFAULT_PORTS[0],
        readiness=None,
        at=At("echo", 1),
    )


#: The namespace and the labels of a calling workload.
_Source = tuple[str, Labels]


def _source(call: Call) -> _Source:
    return call.namespace, call.source


def _client(namespace: str, labels: Labels) -> Pod:
    return _pod(Echo("client", f"client.{namespace}.{CLUSTER_DOMAIN}", labels), ())
