"""Reads where the rules of networking.istio.io are exported to.

Source: Istio reference, VirtualService.exportTo and DestinationRule.exportTo; istiod,
PushContext.initVirtualServices (`~` and `*` win over all other entries).
"""

from __future__ import annotations

from meshproof.documents.manifest import Value

#: The entries that stand for the rule's own namespace, for all and for none.
_OWN, _ALL, _NONE = ".", "*", "~"


def read_export(spec: Value, namespace: str) -> tuple[str, ...]:
    """Return the namespaces that a rule of `namespace` is exported to, () for all.

    Raises BadRules for one that is exported to none: it takes effect nowhere.
    """
    entries = spec.entries("exportTo")
    names = [entry.text() for entry in entries]
    if not names or _ALL in names:
        return ()
    if _NONE in names:
        raise spec.need("exportTo").at.error(
            f"{spec.path}.exportTo: '~' exports the rule to no namespace, so that it has no effect"
        )
    return tuple(dict.fromkeys(namespace if name == _OWN else name for name in names))


def check_export(spec: Value) -> None:
    """Check that a rule is exported everywhere. Raises BadRules for one that is not."""
    if read_export(spec, _OWN):
        export_to = spec.need("exportTo")
        raise export_to.at.unsupported(f"{export_to.path} is not supported yet, but for ['*']")
