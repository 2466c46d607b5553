"""Subset that its callers do not see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from meshproof.base.names import (
    GATEWAY_SELECTOR,
    MESH,
    ROOT_NAMESPACE,
    format_labels,
    is_service,
)
from meshproof.documents.lookup import read_text
from meshproof.documents.manifest import At
from meshproof.inventory.destination_rules import DestinationRule
from meshproof.inventory.gateway_pods import GatewayPods, read_gateway_pods
from meshproof.inventory.gateways import Gateway
from meshproof.inventory.index import namespace_of
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import RouteTable, format_place
from meshproof.lint.model.route_tables import list_destinations

CODE = "MP0527"


@dataclass(frozen=True)
class _Caller:
    """A namespace whose proxies have a rule, and in words why these do not see another's."""

    namespace: str
    words: str


def check(project: Project) -> Iterator[Hit]:
    """Report each subset that only DestinationRules of a third namespace define."""
    pods: GatewayPods | None = None
    for table, _, destination in list_destinations(project):
        subset_name = read_text(destination.subset)
        if destination.subset is None or not subset_name or not is_service(destination.host):
            continue
        rules = [
            rule
            for rule in project.inventory.find_destination_rules(destination.host)
            if any(subset.name == subset_name for subset in rule.subsets)
        ]
        namespaces = {rule.document.namespace for rule in rules}
        if not rules or namespaces & {ROOT_NAMESPACE, namespace_of(destination.host)}:
            continue
        pods = pods or read_gateway_pods(project.documents)
        callers = _list_callers(project, table, pods)
        if blind := next((one for one in callers if one.namespace not in namespaces), None):
            place = destination.subset.at
            yield _build_hit(rules[0], place, destination.source_text, subset_name, blind)


def _list_callers(project: Project, table: RouteTable, pods: GatewayPods) -> Iterator[_Caller]:
    """Yield the callers of a rule: those of its own namespace, and the proxies of its gateways.

    Who else calls from a sidecar is not known, nor are proxies of a Gateway that no file has.
    """
    names = [gateway.full_name for gateway in table.gateways] or [MESH]
    for name in names:
        if name == MESH:
            yield _Caller(table.document.namespace, "whose callers alone see it")
        elif gateway := project.inventory.gateways.get(name):
            yield from _list_proxies(gateway, pods)


def _list_proxies(gateway: Gateway, pods: GatewayPods) -> Iterator[_Caller]:
    """Yield the proxies of a Gateway: the pods that it selects, else those that Istio usually has.

    A Gateway of Gateway API has its own, beside it.
    """
    own_namespace = gateway.document.namespace
    selector = gateway.selector or GATEWAY_SELECTOR
    found = pods.find(selector, own_namespace) if gateway.is_istio else [own_namespace]
    for namespace in found:
        yield _Caller(
            namespace, f"and the proxies of Gateway {gateway.name}, in {namespace}, do not see it"
        )
    if not found:
        namespace = own_namespace if pods.is_scoped else ROOT_NAMESPACE
        yield _Caller(
            namespace,
            f"and the proxies of Gateway {gateway.name} do not see it if they run in {namespace} "
            f"(no pod with {format_labels(selector)} is known)",
        )


def _build_hit(
    rule: DestinationRule, at: At, source_text: str, subset_name: str, caller: _Caller
) -> Hit:
    namespace = rule.document.namespace
    place = format_place(rule.at, at)
    owner = namespace_of(rule.host)
    return Hit(
        at,
        f"subset '{subset_name}' of {source_text}: DestinationRule '{rule.document.name}' "
        f"({place}) is in namespace {namespace}, {caller.words}",
        f"metadata.namespace: {owner} for '{rule.document.name}'",
    )
