"""What exists beside the rules, read once: Services, workloads, subsets, entries and gateways.

Each module reads one kind of object: documents in, objects out. An object has what could be read
of it, and its problems with file and line. Who must not go on without an object that is right
raises the first of these; lint reads around them.
"""

from __future__ import annotations

from meshproof.inventory.index import Inventory
from meshproof.inventory.workloads import WORKLOAD_KINDS

__all__ = ["INVENTORY_KINDS", "Inventory"]

#: Kinds that the rules refer to; they contain no rule.
INVENTORY_KINDS = (
    *WORKLOAD_KINDS,
    "ConfigMap",
    "EndpointSlice",
    "Endpoints",
    "HorizontalPodAutoscaler",
    "IngressClass",
    "Namespace",
    "PodDisruptionBudget",
    "Secret",
    "Service",
    "ServiceAccount",
    "ServiceEntry",
    "Sidecar",
    "WorkloadEntry",
    "WorkloadGroup",
)
