"""Which cases a sandbox cannot prove, and why. The report names each; none passes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshproof.base.names import MESH, Labels, is_service
from meshproof.documents.manifest import Document
from meshproof.mesh.cluster.sandbox.client_namespaces import ClientNamespaces
from meshproof.mesh.cluster.sandbox.clients import MAX_LABELLED_CLIENTS
from meshproof.mesh.cluster.sandbox.rule_rewriter import ROUTING
from meshproof.mesh.echo.workloads import ONE_POD
from meshproof.oracle.case import Case, is_named_host
from meshproof.oracle.dead_ends import DeadEndKind
from meshproof.rules.model import INGRESS, RouteTable, RuleSet

#: A sandbox is reached at this port of the cluster's ingress gateway.
GATEWAY_PORT = 80
_NAMESPACE = "default"
#: Separates the names of HTTPRoutes in one route table (`rules.gateway_api`).
_MERGED = " + "
#: The conditions on an authority that can be rewritten.
_REWRITTEN = ("exact", "present")


def _list_gateway_reasons(case: Case, table: RouteTable) -> Iterator[str]:
    """Yield the reasons that lie in the gateway of a case of a table, its TLS and its proxy."""
    reply = case.answer.proxy_reply
    if case.call.tls:
        yield "a Gateway of the run has no TLS"
    if case.call.proxy.name:
        yield (
            f"its Gateway is for proxies with {case.call.proxy.name}, and a sandbox has those of "
            "the usual gateway alone"
        )
    if case.route_index is None and reply and reply.location:
        yield "a Gateway of the run redirects nothing to https"
    names_callers = any(match.source_namespace for route in table.routes for match in route.matches)
    if case.call.proxy.namespace != INGRESS.namespace and names_callers:
        yield (
            f"a match is for callers of a namespace, and its Gateway's proxies are in "
            f"{case.call.proxy.namespace}, those of the usual gateway are not"
        )


class ProvableCases:
    """What a sandbox serves of some rules, and which of their cases it can prove."""

    def __init__(
        self, rules: RuleSet, cases: Iterable[Case], client_namespaces: ClientNamespaces
    ) -> None:
        self._rules = rules
        self._client_namespaces = client_namespaces
        sources = dict.fromkeys(case.call.source for case in cases if case.call.source)
        self._sources = sorted(sources, key=self._is_near_miss)[:MAX_LABELLED_CLIENTS]
        self._services = {
            (document.namespace, document.name, document.at.file): document
            for document in rules.documents
            if document.kind == "VirtualService" and document.group == ROUTING
        }
        self._routes = {
            (document.namespace, document.name): document
            for document in rules.documents
            if document.kind == "HTTPRoute"
        }

    def _is_near_miss(self, source: Labels) -> bool:
        """Say whether no match is for callers with exactly the labels `source`."""
        return not any(
            match.source == source
            for table in self._rules.tables
            for route in table.routes
            for match in route.matches
        )

    def has_route_for(self, document: Document, source: Labels) -> bool:
        """Say whether a VirtualService has a route for callers with the labels `source`."""
        key = document.namespace, document.name, document.at.file
        for table in self._rules.tables:
            if (table.namespace, table.name, table.at.file) == key:
                for match in (
                    match for route in table.routes for match in route.matches or (None,)
                ):
                    is_for_namespace = match is not None and match.source_namespace
                    if match is None or (not is_for_namespace and set(match.source) <= set(source)):
                        return True
        return False

    def find_documents(self, case: Case) -> list[Document]:
        """Return the VirtualService or the HTTPRoutes of a case; empty for other kinds."""
        table = self._route_table(case)
        if virtual_service := self._services.get((table.namespace, table.name, table.at.file)):
            return [virtual_service]
        merged = [self._routes.get((table.namespace, name)) for name in table.name.split(_MERGED)]
        return [document for document in merged if document is not None] if all(merged) else []

    def _route_table(self, case: Case) -> RouteTable:
        """Return the route table of a case."""
        return self._rules.tables[case.table_index]

    def explain_unprovable(self, case: Case) -> str:
        """Return why a sandbox cannot prove a case; empty if it can."""
        return next(self._reasons(case), "")

    def _reasons(self, case: Case) -> Iterator[str]:
        """Yield every reason why a sandbox cannot prove a case."""
        if case.pod_key is not None:
            yield ONE_POD
        yield from self._document_reasons(case)
        yield from self._endpoint_reasons(case)
        table, request = self._route_table(case), case.call
        matches = [match for route in table.routes for match in route.matches]
        if any(match.authority and match.authority.kind not in _REWRITTEN for match in matches):
            yield "hosts are others in a sandbox, and its authority is matched by a part"
        if case.answer.mirrors and request.gateway != MESH:
            yield "the gateway of the cluster does not count copies of requests for a sandbox"
        if request.gateway != MESH and request.port != GATEWAY_PORT:
            redirects = [route.redirect for route in table.routes if route.redirect]
            if any(match.port for match in matches) or any(
                one.use_request_port for one in redirects
            ):
                yield f"it asks for port {request.port}; the way in to a sandbox is {GATEWAY_PORT}"
        if request.gateway != MESH:
            yield from _list_gateway_reasons(case, table)
        if table.export_to:
            yield "its rule is exported to some namespaces alone, and those of a sandbox are others"
        if table.created and any(
            rival.created and set(rival.hosts) & set(table.hosts)
            for rival in self._rules.tables
            if rival is not table
        ):
            yield "which of several rules for a host comes first is their age, and here all are new"
        if request.gateway != MESH and not is_named_host(table, request):
            yield "other rules at the gateway of the cluster may name a host that these do not"

    def _document_reasons(self, case: Case) -> Iterator[str]:
        """Yield the reasons that lie in the kind of the case's documents."""
        documents = self.find_documents(case)
        if not documents:
            yield "only VirtualServices and HTTPRoutes are rewritten to a sandbox"
        if any(document.kind == "HTTPRoute" for document in documents):
            if case.call.gateway != MESH:
                yield "a Gateway of Gateway API would have a proxy of its own, a sandbox has none"
            if any(
                _find_namespaces(document.spec.to_python()) - {document.namespace}
                for document in documents
            ):
                yield "a sandbox has no ReferenceGrant, by which it reaches into another namespace"

    def _endpoint_reasons(self, case: Case) -> Iterator[str]:
        """Yield the reasons that lie in a case's destinations or its caller."""
        request = case.call
        targets = (*case.shares, *case.answer.mirrors)
        outside = [target.host for target, _ in targets if not is_service(target.host)]
        if request.gateway == MESH and not is_service(request.host):
            outside.append(request.host)
        if outside:
            yield f"no workload of a sandbox stands for {outside[0]}, which is outside the cluster"
        source_namespaces = {
            match.source_namespace
            for route in self._route_table(case).routes
            for match in route.matches
        }
        # A table whose subsets are seen from its own namespace alone is asked from there.
        client_namespace = self._client_namespaces.find_namespace(self._route_table(case))
        is_usual = request.namespace in (_NAMESPACE, client_namespace)
        if not is_usual or request.namespace in source_namespaces:
            yield "its caller has a namespace of a user, clients of a sandbox have one of the run"
        if any(dead_end.kind is DeadEndKind.IMPORT for dead_end in case.dead_ends):
            yield "a Sidecar decides what its caller sees, and the clients of a sandbox have none"
        yield from self._subset_reasons(self._route_table(case), request.gateway == MESH)
        if request.source and request.source not in self._sources:
            yield f"a sandbox has at most {MAX_LABELLED_CLIENTS} clients with labels of their own"

    def _subset_reasons(self, table: RouteTable, inside: bool) -> Iterator[str]:
        """Yield the reasons that lie in subsets which the caller does not see."""
        if not inside and (subset := self._client_namespaces.find_missing_subset(table, None)):
            yield (
                f"the DestinationRule of {subset} is not in the namespace of that service, and the "
                "gateway of the cluster has no other"
            )
        if inside and self._client_namespaces.find_namespace(table) is None:
            subset = self._client_namespaces.find_missing_subset(table, table.namespace)
            yield f"no namespace has the DestinationRules of all its subsets: {subset} is elsewhere"


def _find_namespaces(value: object) -> set[str]:
    """Return every value of a key `namespace` in an object."""
    if isinstance(value, list):
        return set[str]().union(*map(_find_namespaces, value))
    if not isinstance(value, dict):
        return set()
    namespaces = {str(value["namespace"])} if "namespace" in value else set()
    return namespaces.union(*map(_find_namespaces, value.values()))
