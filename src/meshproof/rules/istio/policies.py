"""Checks where the rules of networking.istio.io are exported to."""

from __future__ import annotations

from meshproof.documents.manifest import Value


def check_export(spec: Value) -> None:
    """Check that a rule is exported everywhere. Raises BadRules for one that is not."""
    export_to = spec.get("exportTo")
    if export_to is not None and [namespace.text() for namespace in export_to.items()] != ["*"]:
        raise export_to.at.unsupported(f"{export_to.path} is not supported yet, but for ['*']")
