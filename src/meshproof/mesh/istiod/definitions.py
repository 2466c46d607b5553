"""The kinds of Istio that the API server must know, as definitions that take any content.

istiod brings no definitions: they are in Istio's chart `base`, which a user of a bare binary does
not have. These ones check no field. istiod itself checks every object, by its webhook.
"""

from __future__ import annotations

from typing import Any

#: Group -> kind -> plural. The API server serves each in every version that a rule may have.
KINDS = {
    "networking.istio.io": {
        "DestinationRule": "destinationrules",
        "Gateway": "gateways",
        "ServiceEntry": "serviceentries",
        "Sidecar": "sidecars",
        "VirtualService": "virtualservices",
    },
    "security.istio.io": {"PeerAuthentication": "peerauthentications"},
}
_VERSIONS = ("v1", "v1beta1", "v1alpha3")


def make_definitions() -> list[dict[str, Any]]:
    """Return the CustomResourceDefinition of each kind."""
    return [
        _make_definition(group, kind, plural)
        for group, kinds in KINDS.items()
        for kind, plural in kinds.items()
    ]


def _make_definition(group: str, kind: str, plural: str) -> dict[str, Any]:
    """Return a CustomResourceDefinition; v1 is the version that is stored."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    versions = [
        {
            "name": version,
            "served": True,
            "storage": version == "v1",
            "schema": {"openAPIV3Schema": schema},
        }
        for version in _VERSIONS
    ]
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": versions},
    }
