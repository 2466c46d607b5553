"""Where the clients of a sandbox stand: their namespace decides which DestinationRules they have.

Source: istiod takes that of a host from the namespace of the client, else from that of the service
(pilot/pkg/model/push_context.go, `destinationRule`), never from a third. Its own root namespace,
which comes last there, is none in a sandbox.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshproof.base.names import Labels, full_name, is_service, labels
from meshproof.documents.manifest import Document
from meshproof.mesh.echo.workloads import named_in
from meshproof.rules.model import RouteTable


def read_host(rule: Document) -> str:
    """Return the full name of the host that a DestinationRule is about."""
    return full_name(rule.spec.need("host").text(), rule.namespace)


class ClientNamespaces:
    """Namespaces of a user, by what a client there has; `home` is where one stands as a rule."""

    def __init__(self, rules: Iterable[Document], home: str) -> None:
        """`rules` are the DestinationRules that a sandbox serves."""
        self._rules = list(rules)
        self.home = home

    def visible_rules(self, host: str, namespace: str | None) -> list[Document]:
        """Return the DestinationRules of a host for clients in a namespace, None: for a gateway."""
        host_rules = [rule for rule in self._rules if read_host(rule) == host]
        namespace_rules = [rule for rule in host_rules if rule.namespace == namespace]
        return namespace_rules or [
            rule for rule in host_rules if rule.namespace == named_in(host)[1]
        ]

    def find_namespace(self, table: RouteTable) -> str | None:
        """Return where the sidecars stand that a route is for, None where none has all its subsets.

        A DestinationRule beside the route for a service of elsewhere is for clients beside it.
        """
        hosts = {target.host for route in table.routes for target in route.targets}
        local_rules = [rule for rule in self._rules if rule.namespace == table.namespace]
        if any(
            read_host(rule) in hosts - _hosts_in(table.namespace, hosts) for rule in local_rules
        ):
            return table.namespace
        rule_namespaces = [rule.namespace for rule in self._rules if read_host(rule) in hosts]
        for namespace in (self.home, table.namespace, *rule_namespaces):
            if not self.find_missing_subset(table, namespace):
                return namespace
        return None

    def find_missing_subset(self, table: RouteTable, namespace: str | None) -> str:
        """Return the first subset of a route that clients in a namespace lack, or nothing.

        None is a gateway's, in which no rule of a user's stands.
        """
        return next(self._missing_subsets(table, namespace), "")

    def _missing_subsets(self, table: RouteTable, namespace: str | None) -> Iterator[str]:
        for target in (target for route in table.routes for target in route.targets):
            if not is_service(target.host):
                continue  # no workload of a sandbox stands for it
            visible_labels = [
                subset_labels
                for rule in self.visible_rules(target.host, namespace)
                for subset_labels in _read_subset_labels(rule)
            ]
            if target.labels and target.labels not in visible_labels:
                yield f"{target.host} {target.subset}"


def _hosts_in(namespace: str, hosts: Iterable[str]) -> set[str]:
    return {host for host in hosts if named_in(host)[1] == namespace}


def _read_subset_labels(rule: Document) -> Iterator[Labels]:
    subsets = rule.spec.get("subsets")
    for subset in subsets.items() if subsets else ():
        subset_labels = subset.get("labels")
        yield labels(subset_labels.texts()) if subset_labels else ()
