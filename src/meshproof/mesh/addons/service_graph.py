"""The service graph (ServiceGraph of old, Kiali today): only a cluster has it."""

from __future__ import annotations

HOW_TO_GET = (
    "ServiceGraph and Kiali read a Kubernetes cluster: the local mesh has none, "
    "the cluster mesh will check them"
)


def find(given: str | None) -> None:
    """Return None: on a mesh without Kubernetes there is nothing that it could show."""
