"""A sandbox: live rules on the cluster's istiod and proxies, in namespaces of the run.

Small echo pods with sidecars stand in for the services, and `rule_rewriter` points the rules at
them. Probes with sidecars send the requests inside the mesh. Requests to a gateway come from
outside, through the cluster's gateway and a Gateway of the run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from meshproof.base.errors import BadRules, NotReady
from meshproof.base.names import MESH, is_service
from meshproof.documents.manifest import Document
from meshproof.inventory.destination_rules import DestinationRule, read_destination_rules
from meshproof.inventory.known_hosts import KnownHosts
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.api.objects import RunObject, RunScope
from meshproof.mesh.cluster.istio.istio import Istio
from meshproof.mesh.cluster.proxies import settling
from meshproof.mesh.cluster.proxies.proxies import Proxy
from meshproof.mesh.cluster.proxies.settling import ListProxies
from meshproof.mesh.cluster.run import workloads
from meshproof.mesh.cluster.sandbox import echo_pods
from meshproof.mesh.cluster.sandbox.client_namespaces import ClientNamespaces
from meshproof.mesh.cluster.sandbox.clients import Caller, SandboxClients
from meshproof.mesh.cluster.sandbox.mirrored_copies import MirroredCopies
from meshproof.mesh.cluster.sandbox.provable_cases import ProvableCases
from meshproof.mesh.cluster.sandbox.rule_rewriter import ROUTING, RuleRewriter, SandboxNames
from meshproof.mesh.echo.listener import MarkerHeaders
from meshproof.mesh.echo.workloads import (
    DEFAULT_BETA,
    Workloads,
    collect_ports,
    list_hosts,
    plan_echo_workloads,
    split_host,
)
from meshproof.mesh.http import Sender
from meshproof.mesh.protocol import Address, Served, combine_versions
from meshproof.oracle.derive import Call, Case
from meshproof.rules.model import RouteTable, RuleSet


class Sandbox:
    """Rules that a cluster serves to echo workloads. A `meshproof.mesh.echo.case_mesh.CaseMesh`."""

    def __init__(
        self,
        rules: RuleSet,
        cases: Sequence[Case],
        known_hosts: KnownHosts,
        scope: RunScope,
        istio: Istio,
        beta: float | None = None,
    ) -> None:
        """Raise BadRules if no case can be proven."""
        self._rules = rules
        self._known_hosts = known_hosts
        self._scope = scope
        self._istio = istio
        self.echoes = plan_echo_workloads(rules, known_hosts)
        self.workloads = Workloads(self.echoes, beta or DEFAULT_BETA)
        self.markers = MarkerHeaders()
        user_namespaces = self._list_user_namespaces()
        self.names = SandboxNames.for_namespaces(scope, user_namespaces)
        # Prefer `default`: there its services have short names.
        home_namespace = "default" if "default" in user_namespaces else user_namespaces[0]
        self._client_namespaces = ClientNamespaces(self._destination_rules, home_namespace)
        self._provable = ProvableCases(rules, cases, self._client_namespaces)
        self._cases = [case for case in cases if not self.explain_unproven(case)]
        self._require_provable_cases(cases)
        self._labels = {**scope.labels, **istio.revision_labels}
        callers = [caller for caller in map(self._find_caller, self._cases) if caller is not None]
        self._clients = SandboxClients(
            self._labels, scope.map_image, callers or [(home_namespace, ())]
        )
        self._ingress_address: Address | None = None
        self._copies: MirroredCopies | None = None
        self.served: Served | None = None

    def _require_provable_cases(self, cases: Sequence[Case]) -> None:
        """Raise BadRules, with the reason for each case, if no case can be proven."""
        if not self._cases:
            reasons = dict.fromkeys(f"{case.at}: {self.explain_unproven(case)}" for case in cases)
            raise BadRules(
                "no case of these rules can be proven in a sandbox:\n" + "\n".join(reasons)
            )

    def _list_user_namespaces(self) -> list[str]:
        """Return the user's namespaces: those of the rules and of the services that they name."""
        namespaces = {
            split_host(host)[1]
            for host in list_hosts(self._rules, self._known_hosts)
            if is_service(host)
        }
        namespaces |= {document.namespace for document in self._rules.documents}
        return sorted(namespaces)

    @property
    def namespaces(self) -> list[str]:
        """The namespaces of the sandbox."""
        return list(self.names.namespaces.values())

    @property
    def notes(self) -> list[str]:
        """What the report says of the sandbox."""
        pods = len(echo_pods.select_services(self.echoes))
        notes = [
            f"sandbox: {pods} echo workloads with sidecars; of DestinationRules it has the subsets"
        ]
        if self._uses_gateway:
            notes.append(
                "sandbox: rules of gateways are asked through the ingress gateway of the cluster, "
                f"at a Gateway of the run for hosts below {self.names.suffix}"
            )
        return notes

    def explain_unproven(self, case: Case) -> str:
        """Return why a case cannot be proven here; empty if it can."""
        return self._provable.explain_unprovable(case)

    def read_config(self, call: Call) -> None:
        """Return None: nothing here compares the config of a cluster's proxies."""

    @contextlib.contextmanager
    def serve(self, kube: Kube, find_address: Callable[[], Address]) -> Iterator[None]:
        """Wait for the pods, then serve the rules; `find_address` finds the ingress address.

        Everything goes with the namespaces. Raises NotReady for a pod that does not start and a
        proxy that does not take the rules, BadRules for a rule that the cluster refuses.
        """
        with contextlib.ExitStack() as stack:
            stack.callback(self._clients.close)
            self._clients.wait_ready(kube, self.names)
            pods = echo_pods.name_pods(self.echoes, self.names.namespaces)
            self._copies = MirroredCopies(kube, pods, self._clients.proxies.values())
            stack.callback(self._copies.close)
            for namespace, name in pods.values():
                workloads.wait_running(kube, namespace, name)
            self._ingress_address = find_address() if self._uses_gateway else None
            self.served = self._apply_rules(kube)
            yield

    def create_workloads(self, kube: Kube) -> None:
        """Create everything but the rules, in the sandbox's existing namespaces."""
        for body in echo_pods.make_objects(self.echoes, self._known_hosts, self._echo_placement):
            try:
                kube.apply(body)
            except NotReady as error:
                raise workloads.explain_pod_security(
                    error, str(body["metadata"]["namespace"])
                ) from None
        self._clients.create(kube, self.names)

    def _apply_rules(self, kube: Kube) -> Served:
        """Apply the rules; wait until each client has those that concern it."""
        rules = map(self._rewriter.rewrite_destination_rule, self._destination_rules)
        run_objects = [*rules, *self._make_gateways(kube), *self._rewrite_routes()]
        for run_object in run_objects:
            kube.apply(run_object.body, run_object.at or "")
        watched: list[tuple[Caller | None, Sequence[Proxy] | ListProxies]] = [
            (caller, [proxy]) for caller, proxy in self._clients.proxies.items()
        ]
        if self._uses_gateway:
            watched.append((None, lambda: self._istio.list_gateways(kube)))
        served = [
            settling.wait_served(
                kube, proxies, self._select_expected(run_objects, caller), run_name=self._scope.run
            )
            for caller, proxies in watched
        ]
        return Served(
            combine_versions(result.version for result in served),
            sum(result.proxies for result in served),
            round(sum(result.seconds for result in served), 3),
        )

    @property
    def _echo_placement(self) -> echo_pods.EchoPlacement:
        """Where and how to create the echo workloads."""
        return echo_pods.EchoPlacement(
            self.names.namespaces,
            collect_ports(self._rules, self._known_hosts),
            self._labels,
            self._scope.map_image,
            lambda host: self._rewriter.list_exports(host in self._rewriter.gateway_hosts),
        )

    # What the sandbox serves.

    @cached_property
    def _rewriter(self) -> RuleRewriter:
        """The rewriter of these rules."""
        targets = [
            target.host
            for table in self._rules.tables
            if self._gateway_names(table)
            for route in table.routes
            for target in route.targets
        ]
        namespace, _, _ = self._istio.ingress.partition("/")
        return RuleRewriter(
            self.names, self._scope.labels, self.namespaces, [namespace], frozenset(targets)
        )

    @cached_property
    def _uses_gateway(self) -> bool:
        """Whether a case comes in at a gateway."""
        return any(case.call.gateway != MESH for case in self._cases)

    @staticmethod
    def _gateway_names(table: RouteTable) -> list[str]:
        """Return the gateways of a route table, without `mesh`."""
        return [gateway for gateway in table.gateways or () if gateway != MESH]

    def _documents_of_kind(self, kind: str) -> list[Document]:
        """Return the documents of a kind of Istio's networking API."""
        documents = self._rules.documents
        return [
            document
            for document in documents
            if document.kind == kind and document.group == ROUTING
        ]

    def _rewrite_routes(self) -> list[RunObject]:
        """Return the rules that a provable case comes from, and those that they delegate to."""
        proven_documents = [
            document for case in self._cases for document in self._provable.find_documents(case)
        ]
        services = [
            self._rewriter.rewrite_virtual_service(document)
            for document in self._documents_of_kind("VirtualService")
            if document in proven_documents or document.spec.get("hosts") is None
        ]
        routes = [
            document
            for document in self._rules.documents
            if document in proven_documents and document.kind == "HTTPRoute"
        ]
        return [*services, *map(self._rewriter.rewrite_http_route, routes)]

    @cached_property
    def _destination_rules(self) -> list[DestinationRule]:
        """The DestinationRules with subsets of services that exist."""
        hosts = echo_pods.list_services(
            list_hosts(self._rules, self._known_hosts), self._known_hosts
        )
        rules = read_destination_rules(self._documents_of_kind("DestinationRule"))
        return [rule for rule in rules if rule.subsets and rule.host in hosts]

    def _make_gateways(self, kube: Kube) -> list[RunObject]:
        """Return the Gateways of the cases, for the hosts of their routes only."""
        requests = [case.call for case in self._cases if case.call.gateway != MESH]
        if not requests:
            return []
        selector = self._istio.read_gateway_selector(kube)
        run_objects = []
        for document in self._documents_of_kind("Gateway"):
            name = f"{document.namespace}/{document.name}"
            hosts = [call.host for call in requests if call.gateway == name]
            if hosts:
                run_objects.append(self._rewriter.rewrite_gateway(document, hosts, selector))
        return run_objects

    def _select_expected(
        self, run_objects: Sequence[RunObject], caller: Caller | None
    ) -> list[RunObject]:
        """Return the objects that a client must show by name, None: a gateway.

        istiod shows one DestinationRule for a host, and no rule without a route for the client.
        """
        namespace, source = caller or (None, ())
        routed_places = {
            document.at
            for document in self._documents_of_kind("VirtualService")
            if self._provable.has_route_for(document, source)
        }
        visible_places = {
            visible_rules[0].document.at
            for rule in self._destination_rules
            if (visible_rules := self._client_namespaces.visible_rules(rule.host, namespace))
        }
        return [
            run_object
            for run_object in run_objects
            if run_object.kind == "HTTPRoute"
            or (run_object.kind == "DestinationRule" and run_object.at in visible_places)
            or (
                run_object.kind == "VirtualService"
                and "hosts" in run_object.body["spec"]
                and run_object.at in routed_places
            )
        ]

    # How requests reach it.

    def address(self, call: Call) -> Address:
        """Return where to send a request: to the service itself, or to the ingress address."""
        if call.gateway == MESH:
            return Address(self.names.rewrite_host(call.host), call.port)
        if self._ingress_address is None:
            raise NotReady("the sandbox is not served yet")
        return self._ingress_address

    def sender(self, case: Case) -> Sender:
        """Return the client of a case: a probe in the mesh, or this process outside."""
        return self._clients.sender(self._find_caller(case))

    def _find_caller(self, case: Case) -> Caller | None:
        """Return the caller of a case, None for a request to a gateway."""
        if case.call.gateway != MESH:
            return None
        namespace = self._client_namespaces.find_namespace(self._rules.tables[case.table_index])
        return namespace or self._client_namespaces.home, case.call.source

    def count_copies(self, case: Case, sent: Sequence[tuple[str, str]]) -> list[int]:
        """Return how many copies each of some requests has had; see `CaseMesh.copied`."""
        if self._copies is None:
            raise NotReady("the sandbox is not served yet")
        return self.workloads.count_copies(case, sent, self._copies.count())
