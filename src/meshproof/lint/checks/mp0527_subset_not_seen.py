"""Subset that its callers do not see."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import MESH, ROOT_NAMESPACE, is_service
from meshproof.documents.lookup import read_text
from meshproof.documents.manifest import At
from meshproof.inventory.destination_rules import DestinationRule
from meshproof.inventory.index import namespace_of
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import RouteTable, format_place
from meshproof.lint.model.route_tables import list_destinations

CODE = "MP0527"


def check(project: Project) -> Iterator[Hit]:
    """Report each subset that only DestinationRules of a third namespace define."""
    for table, _, destination in list_destinations(project):
        subset_name = read_text(destination.subset)
        if destination.subset is None or not subset_name or not is_service(destination.host):
            continue
        rules = [
            rule
            for rule in project.inventory.find_destination_rules(destination.host)
            if any(subset.name == subset_name for subset in rule.subsets)
        ]
        namespaces = {*_list_caller_namespaces(table), namespace_of(destination.host)}
        if not rules or any(rule.document.namespace in namespaces for rule in rules):
            continue
        yield _build_hit(rules[0], destination.subset.at, destination.source_text, subset_name)


def _list_caller_namespaces(table: RouteTable) -> Iterator[str]:
    """Yield the namespaces whose proxies may have a rule; all see the rules of the root."""
    yield ROOT_NAMESPACE
    yield table.document.namespace
    for gateway in table.gateways:
        if gateway.full_name != MESH:
            yield gateway.full_name.partition("/")[0]


def _build_hit(rule: DestinationRule, at: At, source_text: str, subset_name: str) -> Hit:
    namespace = rule.document.namespace
    place = format_place(rule.at, at)
    owner = namespace_of(rule.host)
    return Hit(
        at,
        f"subset '{subset_name}' of {source_text}: DestinationRule '{rule.document.name}' "
        f"({place}) is in namespace {namespace}, whose callers alone see it",
        f"metadata.namespace: {owner} for '{rule.document.name}'",
    )
