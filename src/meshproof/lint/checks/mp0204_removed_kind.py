"""Removed kind."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.lookup import read_api_group, read_kind
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project

CODE = "MP0204"

_CONVERT = " (meshproof convert writes it)"
_MIXER = "Telemetry, WasmPlugin or AuthorizationPolicy, whichever it was for"
#: (group, kind) -> the release without it, and its successor. "" is any kind.
_REMOVED_KINDS = {
    ("config.istio.io", "RouteRule"): (
        "Istio 1.0",
        f"VirtualService and DestinationRule{_CONVERT}",
    ),
    ("config.istio.io", "DestinationPolicy"): ("Istio 1.0", f"DestinationRule{_CONVERT}"),
    ("config.istio.io", "EgressRule"): ("Istio 1.0", f"ServiceEntry{_CONVERT}"),
    ("config.istio.io", ""): ("Istio 1.8", _MIXER),
    ("authentication.istio.io", "Policy"): (
        "Istio 1.6",
        "PeerAuthentication and RequestAuthentication",
    ),
    ("authentication.istio.io", "MeshPolicy"): ("Istio 1.6", "PeerAuthentication in istio-system"),
    ("rbac.istio.io", ""): ("Istio 1.6", "AuthorizationPolicy of security.istio.io"),
}


def check(project: Project) -> Iterator[Hit]:
    """Report each kind that was removed, unless the kind was guessed."""
    for document in project.documents:
        root = document.root
        kind = root.mapping().get("kind")
        group = read_api_group(document)
        name = read_kind(document)
        removal = _REMOVED_KINDS.get((group, name)) or _REMOVED_KINDS.get((group, ""))
        if kind is not None and removal and "kind" in root.keys:
            release, successor = removal
            yield Hit(kind.at, f"{name} was removed in {release}", successor)
