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
    names = find_export(spec)
    if not names or _ALL in names:
        return ()
    if _NONE in names:
        raise spec.need("exportTo").at.error(
            f"{spec.path}.exportTo: '~' exports the rule to no namespace, so that it has no effect"
        )
    return tuple(dict.fromkeys(namespace if name == _OWN else name for name in names))


def find_export(spec: Value) -> list[str]:
    """Return the entries of exportTo as they are written."""
    return [entry.text() for entry in spec.entries("exportTo")]
