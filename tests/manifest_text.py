"""The heads of Kubernetes objects in tests: what is the same in each is written here, once."""

from __future__ import annotations

#: Kind -> the apiVersion that tests write, unless it is what they are about.
API_VERSIONS = {
    "AuthorizationPolicy": "security.istio.io/v1",
    "Deployment": "apps/v1",
    "DestinationPolicy": "config.istio.io/v1alpha2",
    "DestinationRule": "networking.istio.io/v1",
    "EgressRule": "config.istio.io/v1alpha2",
    "GRPCRoute": "gateway.networking.k8s.io/v1",
    "Gateway": "networking.istio.io/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "Ingress": "networking.k8s.io/v1",
    "PeerAuthentication": "security.istio.io/v1",
    "Pod": "v1",
    "RequestAuthentication": "security.istio.io/v1",
    "RouteRule": "config.istio.io/v1alpha2",
    "Service": "v1",
    "ServiceEntry": "networking.istio.io/v1",
    "Sidecar": "networking.istio.io/v1",
    "VirtualService": "networking.istio.io/v1",
}


def write_head(kind: str, name: str, namespace: str = "") -> str:
    """Return apiVersion, kind and metadata of an object: always three lines."""
    place = f", namespace: {namespace}" if namespace else ""
    return f"apiVersion: {API_VERSIONS[kind]}\nkind: {kind}\nmetadata: {{name: {name}{place}}}\n"


def write_hashed_rule(host: str, pod_hash: str, other_hash: str) -> str:
    """Return a DestinationRule that picks pods by `pod_hash`; by another one for v3, none for v2.

    Both are values of `consistentHash`.
    """
    return f"""\
{write_head("DestinationRule", host)}spec:
  host: {host}
  trafficPolicy: {{loadBalancer: {{consistentHash: {pod_hash}}}}}
  subsets:
  - {{name: v1, labels: {{version: v1}}}}
  - {{name: v2, labels: {{version: v2}}, trafficPolicy: {{loadBalancer: {{simple: RANDOM}}}}}}
  - name: v3
    labels: {{version: v3}}
    trafficPolicy: {{loadBalancer: {{consistentHash: {other_hash}}}}}
"""
