"""What a kind of object is to a run: a rule, what rules stand on, beyond meshproof, or no matter.

A kind is known by its API group and its name: the `Service` of serving.knative.dev is none of ours.
"""

from __future__ import annotations

from enum import Enum, auto

from meshproof.documents import schema
from meshproof.documents.schema import find_closest_word


class Role(Enum):
    """What an object is to a run.

    RULE: it routes. INVENTORY: rules stand on it. UNSERVED: it changes what becomes of requests,
    and no mesh here serves it. NO_EFFECT: it changes nothing about requests. UNKNOWN: a group of
    the mesh has no such kind, or the group is a misspelt one.
    """

    RULE = auto()
    INVENTORY = auto()
    UNSERVED = auto()
    NO_EFFECT = auto()
    UNKNOWN = auto()


_ISTIO, _GATEWAY_API = "networking.istio.io", "gateway.networking.k8s.io"
_MIXER, _KUBERNETES = "config.istio.io", "networking.k8s.io"
#: Group -> kinds that route.
RULE_KINDS = {
    _ISTIO: ("VirtualService", "DestinationRule", "Gateway"),
    "security.istio.io": ("PeerAuthentication",),
    _GATEWAY_API: ("Gateway", "HTTPRoute", "GRPCRoute", "ReferenceGrant"),
    _MIXER: ("RouteRule", "DestinationPolicy", "EgressRule"),
    _KUBERNETES: ("Ingress",),
}
#: Kinds of `apps` that make pods which stay.
POD_MAKERS = ("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet")
#: Group -> kinds that rules stand on.
INVENTORY_KINDS = {
    "": ("Service", "Pod", "Namespace"),
    "apps": POD_MAKERS,
    _ISTIO: ("ServiceEntry", "Sidecar", "WorkloadEntry", "WorkloadGroup"),
    _KUBERNETES: ("IngressClass",),
}
_DECIDES = "it decides which requests are let through, and no mesh here enforces it"
_PATCHES = "it changes the proxies themselves, which no mesh here does"
_OTHER_TRAFFIC = "only HTTP requests are sent and served"
_REMOVED = "Istio removed it in {}"
#: (group, kind) -> why no mesh here serves it. "" is any kind of the group.
_UNSERVED_KINDS = {
    ("security.istio.io", "AuthorizationPolicy"): _DECIDES,
    ("security.istio.io", "RequestAuthentication"): _DECIDES,
    (_KUBERNETES, "NetworkPolicy"): _DECIDES,
    ("crd.projectcalico.org", "NetworkPolicy"): _DECIDES,
    ("crd.projectcalico.org", "GlobalNetworkPolicy"): _DECIDES,
    ("projectcalico.org", "NetworkPolicy"): _DECIDES,
    ("projectcalico.org", "GlobalNetworkPolicy"): _DECIDES,
    ("cilium.io", "CiliumNetworkPolicy"): _DECIDES,
    ("cilium.io", "CiliumClusterwideNetworkPolicy"): _DECIDES,
    (_ISTIO, "EnvoyFilter"): _PATCHES,
    (_ISTIO, "ProxyConfig"): _PATCHES,
    ("extensions.istio.io", ""): _PATCHES,
    (
        "install.istio.io",
        "IstioOperator",
    ): "it configures the mesh itself, not its routes",
    # The group that the operator had before Istio 1.5.
    ("operator.istio.io", ""): "it configures the mesh itself, not its routes",
    (_GATEWAY_API, "BackendTLSPolicy"): "connections to backends have no TLS here",
    (_GATEWAY_API, "BackendLBPolicy"): "no mesh here serves it",
    (_GATEWAY_API, "ListenerSet"): "no mesh here serves it",
    (_GATEWAY_API, "TCPRoute"): _OTHER_TRAFFIC,
    (_GATEWAY_API, "TLSRoute"): _OTHER_TRAFFIC,
    (_GATEWAY_API, "UDPRoute"): _OTHER_TRAFFIC,
    ("gateway.networking.x-k8s.io", ""): "no mesh here serves it",
    (_MIXER, ""): _REMOVED.format("1.8"),
    ("authentication.istio.io", ""): _REMOVED.format("1.6"),
    ("rbac.istio.io", ""): _REMOVED.format("1.6"),
}
#: Kinds of groups of the mesh that change nothing about requests.
_WITHOUT_EFFECT = (
    ("telemetry.istio.io", "Telemetry"),
    (_GATEWAY_API, "GatewayClass"),
)


def find_role(group: str, kind: str) -> Role:
    """Return the role of a kind. A moved kind has the same under its old group."""
    served_group = schema.MOVED_KINDS.get((group, kind), group)
    if kind in RULE_KINDS.get(served_group, ()):
        return Role.RULE
    if kind in INVENTORY_KINDS.get(served_group, ()):
        return Role.INVENTORY
    if (served_group, kind) in _WITHOUT_EFFECT:
        return Role.NO_EFFECT
    if explain_unserved(served_group, kind):
        return Role.UNSERVED
    is_known = kind in schema.list_kinds(group)
    if (_is_mesh_group(group) and not is_known) or _is_misspelt(group, kind):
        return Role.UNKNOWN
    return Role.NO_EFFECT


def explain_unserved(group: str, kind: str) -> str:
    """Return why no mesh here serves a kind that matters; empty for any other kind."""
    served_group = schema.MOVED_KINDS.get((group, kind), group)
    if kind in (*RULE_KINDS.get(served_group, ()), *INVENTORY_KINDS.get(served_group, ())):
        return ""
    reason = _UNSERVED_KINDS.get((served_group, kind))
    return reason or _UNSERVED_KINDS.get((served_group, ""), "")


def is_mesh_kind(name: str) -> bool:
    """Say whether a kind of this name, of whatever group, is a rule or what rules stand on."""
    kinds = (*RULE_KINDS.values(), *INVENTORY_KINDS.values())
    return any(name in names for names in kinds) or any(
        name == unserved for _, unserved in _UNSERVED_KINDS
    )


def suggest_kind(group: str, kind: str) -> str:
    """Return the nearest kind of a rule, or of its group; empty if none is near."""
    names = [name for kinds in RULE_KINDS.values() for name in kinds]
    return find_closest_word(kind, [*names, *schema.list_kinds(group)])


def _is_mesh_group(group: str) -> bool:
    """Say whether all kinds of a group are about the mesh."""
    return group.endswith(".istio.io") or group == _GATEWAY_API


def _is_misspelt(group: str, kind: str) -> bool:
    """Say whether a group is none that is known, and near the group of a rule with that name."""
    if group in schema.list_groups():
        return False
    own_groups = [known for known, kinds in RULE_KINDS.items() if kind in kinds]
    return bool(group and find_closest_word(group, own_groups, 0.8))
