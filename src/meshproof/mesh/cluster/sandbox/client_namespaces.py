"""Where a sandbox's clients run: their namespace decides which DestinationRules they see.

Source: istiod takes the DestinationRule of a host from the client's namespace, else from the
service's (pilot/pkg/model/push_context.go, `destinationRule`), never from a third. Its root
namespace would come last; a sandbox has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshproof.base.names import is_service
from meshproof.inventory.destination_rules import DestinationRule
from meshproof.mesh.echo.workloads import split_host
from meshproof.rules.model import RouteTable


class ClientNamespaces:
    """The user's namespaces and what a client in each sees; `home` is the usual one."""

    def __init__(self, rules: Iterable[DestinationRule], home: str) -> None:
        """`rules` are the DestinationRules that a sandbox serves."""
        self._rules = list(rules)
        self.home = home

    def visible_rules(self, host: str, namespace: str | None) -> list[DestinationRule]:
        """Return a host's DestinationRules for clients in a namespace, None: for a gateway."""
        host_rules = [rule for rule in self._rules if rule.host == host]
        namespace_rules = [rule for rule in host_rules if rule.document.namespace == namespace]
        return namespace_rules or [
            rule for rule in host_rules if rule.document.namespace == split_host(host)[1]
        ]

    def find_namespace(self, table: RouteTable) -> str | None:
        """Return the namespace for the clients of a route table; None if none sees all its subsets.

        A DestinationRule in the table's namespace for a service of another one is for clients in
        that namespace only.
        """
        hosts = {target.host for route in table.routes for target in route.targets}
        local_rules = [rule for rule in self._rules if rule.document.namespace == table.namespace]
        if any(rule.host in hosts - _hosts_in(table.namespace, hosts) for rule in local_rules):
            return table.namespace
        rule_namespaces = [rule.document.namespace for rule in self._rules if rule.host in hosts]
        for namespace in (self.home, table.namespace, *rule_namespaces):
            if not self.find_missing_subset(table, namespace):
                return namespace
        return None

    def find_missing_subset(self, table: RouteTable, namespace: str | None) -> str:
        """Return the first subset that clients in a namespace do not see; empty if they see all.

        None stands for the gateway's namespace, where a user has no rules.
        """
        return next(self._missing_subsets(table, namespace), "")

    def _missing_subsets(self, table: RouteTable, namespace: str | None) -> Iterator[str]:
        """Yield the subsets of a route table that clients in a namespace do not see."""
        for target in (target for route in table.routes for target in route.targets):
            if not is_service(target.host):
                continue  # a host outside has no echo workload
            visible_labels = [
                subset.labels
                for rule in self.visible_rules(target.host, namespace)
                for subset in rule.subsets
            ]
            if target.labels and target.labels not in visible_labels:
                yield f"{target.host} {target.subset}"


def _hosts_in(namespace: str, hosts: Iterable[str]) -> set[str]:
    """Return the hosts that are services of a namespace."""
    return {host for host in hosts if split_host(host)[1] == namespace}
