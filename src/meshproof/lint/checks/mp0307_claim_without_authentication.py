"""Match on a claim that nobody checks."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import ROOT_NAMESPACE
from meshproof.inventory.selectors import Selector
from meshproof.inventory.workloads import Workload
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import RouteTable
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0307"

_CLAIM = "header @request.auth.claims"


def check(project: Project) -> Iterator[Hit]:
    """Report each match on a claim where no token is checked before."""
    for table in read_route_tables(project):
        if table.dialect != "VirtualService":
            continue
        for route in table.routes:
            conditions = (condition for match in route.matches for condition in match.conditions)
            for condition in conditions:
                if condition.part.startswith(_CLAIM):
                    reason, repair = _find_missing_authentication(project, table)
                    if reason:
                        level = None if table.applies_to_mesh else Level.WARNING
                        yield Hit(condition.at, f"{route.name}: {reason}", repair, level)


def _find_missing_authentication(project: Project, table: RouteTable) -> tuple[str, str]:
    """Return why no token is checked before a rule, and the repair; empty texts if one is."""
    names = [gateway.full_name for gateway in table.gateways]
    if table.applies_to_mesh:  # Istio refuses it (ValidateVirtualService)
        reason = "claims are matched at gateways only, and this rule is for sidecars"
        return reason, "spec.gateways: the gateway that the requests come in by"
    inventory = project.inventory
    policies = inventory.list_selectors("RequestAuthentication")
    if not policies and any(name in inventory.gateways for name in names):
        return "no RequestAuthentication is in the files", "a RequestAuthentication"
    for name in names:
        gateway = inventory.gateways.get(name)
        workloads = inventory.select_workloads(gateway.selector) if gateway is not None else []
        if workloads and not any(
            _applies_to(policy, workload) for policy in policies for workload in workloads
        ):
            return f"no RequestAuthentication is for gateway {name}", "a RequestAuthentication"
    return "", ""


def _applies_to(policy: Selector, workload: Workload) -> bool:
    """Say whether a RequestAuthentication is for a workload."""
    namespaces = (ROOT_NAMESPACE, workload.document.namespace)
    return policy.document.namespace in namespaces and workload.is_selected_by(policy.labels)
