"""Names that all dialects share, apart from the routing model; lint needs only these."""

from __future__ import annotations

import sys

Labels = tuple[tuple[str, str], ...]

#: Header that marks the requests of a run: in access logs, in traces.
RUN_HEADER = "x-meshproof-run"
#: Header by which a client asks Envoy for the trace of a request.
TRACE_HEADER = "x-client-trace-id"
#: Header that marks the requests whose copies to a mirror are counted.
MIRROR_HEADER = "x-meshproof-mirror"
#: The gateway name that stands for all sidecars (Istio reference, VirtualService.gateways).
MESH = "mesh"
#: The label, which no pod has, of a subset that no DestinationRule defines.
UNDEFINED_SUBSET = "meshproof/undefined-subset"
CLUSTER_DOMAIN = "svc.cluster.local"
#: Policies of this namespace hold for the whole mesh (Istio reference, PeerAuthentication).
ROOT_NAMESPACE = "istio-system"
#: The labels of the pods of Istio's own ingress gateway (Istio docs, installation options).
USUAL_GATEWAY_LABELS: Labels = (("app", "istio-ingressgateway"), ("istio", "ingressgateway"))
#: What a Gateway selects that says nothing of its own, where the usual proxies are asked for.
GATEWAY_SELECTOR: Labels = (("istio", "ingressgateway"),)
#: The annotation with an Ingress's class; it has precedence over the field ingressClassName.
INGRESS_ANNOTATION = "kubernetes.io/ingress.class"
#: Istio's class, unless an IngressClass of that name has another controller.
INGRESS_CLASS = "istio"
#: The controller of Istio's IngressClass.
INGRESS_CONTROLLER = "istio.io/ingress-controller"


def is_service(host: str) -> bool:
    """Say whether a host is the full name of a service of the cluster."""
    return host.endswith(f".{CLUSTER_DOMAIN}") and host.count(".") == 4 and "*" not in host


def qualify_host(host: str, namespace: str) -> str:
    """Return the full name of a service's short name as seen from `namespace`.

    A name with a dot stays as it is, `reviews.default` too (Istio reference, Destination.host).
    """
    if "." in host or host == "*":
        return host
    return sys.intern(f"{host}.{namespace}.{CLUSTER_DOMAIN}")  # rules repeat it


def sort_labels(mapping: dict[str, str]) -> Labels:
    """Return labels in a fixed order, so that equal sets compare equal."""
    return tuple(sorted(mapping.items()))


def format_labels(labels: Labels) -> str:
    """Return labels as a selector has them: `app=web,version=v1`."""
    return ",".join(f"{key}={value}" for key, value in labels)


def qualify_gateway(name: str, namespace: str) -> str:
    """Return namespace/name of a gateway, written as name, ns/name, ./name or name.ns.svc.*."""
    if name == MESH:
        return name
    owner, slash, short = name.rpartition("/")
    if slash:
        return f"{namespace if owner == '.' else owner}/{short}"
    short, dot, suffix = name.partition(".")
    return f"{suffix.partition('.')[0] if dot else namespace}/{short}"


def is_host_within(host: str, pattern: str) -> bool:
    """Say whether `pattern` (`*.example.com`, `*`) covers a host, or all hosts of a pattern."""
    if pattern == "*" or host == pattern:
        return True
    return pattern.startswith("*") and host.endswith(pattern[1:]) and host != pattern[1:]
