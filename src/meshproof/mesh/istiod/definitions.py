"""The kinds of Istio and of Gateway API that the API server must know, as definitions.

istiod brings no definitions: they are in Istio's chart `base`, and in the releases of Gateway API,
which a user of a bare binary does not have. These ones check no field: istiod itself checks its own
kinds, by its webhook. They set the defaults that istiod relies on (Gateway API reference, "default"
of each field).
"""

from __future__ import annotations

from typing import Any

Definition = dict[str, Any]
#: Group -> kind -> plural. The API server serves each in every version that a rule may have.
KINDS = {
    "networking.istio.io": {
        "DestinationRule": "destinationrules",
        "EnvoyFilter": "envoyfilters",
        "Gateway": "gateways",
        "ServiceEntry": "serviceentries",
        "Sidecar": "sidecars",
        "VirtualService": "virtualservices",
    },
    "security.istio.io": {"PeerAuthentication": "peerauthentications"},
}
GATEWAY_API = "gateway.networking.k8s.io"
#: The same of Gateway API, whose objects istiod's webhook does not check.
GATEWAY_API_KINDS = {
    GATEWAY_API: {
        "Gateway": "gateways",
        "GatewayClass": "gatewayclasses",
        "GRPCRoute": "grpcroutes",
        "HTTPRoute": "httproutes",
        "ReferenceGrant": "referencegrants",
    }
}
_VERSIONS = ("v1", "v1beta1", "v1alpha3")
#: istiod asks the definitions of Gateway API for the release that they are from.
_RELEASE_ANNOTATION, _RELEASE = "gateway.networking.k8s.io/bundle-version", "v1.4.0"


def make_definitions() -> list[Definition]:
    """Return the CustomResourceDefinition of each kind."""
    return [
        _make_definition(group, kind, plural)
        for group, kinds in (KINDS | GATEWAY_API_KINDS).items()
        for kind, plural in kinds.items()
    ]


def _make_definition(group: str, kind: str, plural: str) -> Definition:
    """Return a CustomResourceDefinition; v1 is the version that is stored."""
    schema = _make_schema(spec=_SPECS.get((group, kind), _make_schema()), status=_make_schema())
    versions = [
        {
            "name": version,
            "served": True,
            "storage": version == "v1",
            "schema": {"openAPIV3Schema": schema},
            "subresources": {"status": {}} if group == GATEWAY_API else {},
        }
        for version in _VERSIONS
    ]
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    scope = "Cluster" if kind == "GatewayClass" else "Namespaced"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            # The API server lets nobody else define kinds of this group.
            "annotations": {
                _RELEASE_ANNOTATION: _RELEASE,
                "api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api",
            },
        },
        "spec": {"group": group, "names": names, "scope": scope, "versions": versions},
    }


def _make_schema(**properties: Definition) -> Definition:
    """Return the schema of an object that may have any field; of some more is known."""
    schema: Definition = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {**schema, "properties": properties} if properties else schema


def _make_list(**properties: Definition) -> Definition:
    """Return the schema of a list of objects; see `_make_schema`."""
    return {"type": "array", "items": _make_schema(**properties)}


def _make_default(value: str | int) -> Definition:
    """Return the schema of a field that has a default."""
    return {"type": "integer" if isinstance(value, int) else "string", "default": value}


def _make_route_spec(match: Definition, path: Definition) -> Definition:
    """Return the schema of a route's spec: `match` are the defaults in a match.

    `path` is what a route without matches has in place of them.
    """
    parents = _make_list(group=_make_default(GATEWAY_API), kind=_make_default("Gateway"))
    backend = {"group": _make_default(""), "kind": _make_default("Service")}
    redirect = _make_schema(statusCode=_make_default(302))
    fraction = _make_schema(denominator=_make_default(100))
    mirror = _make_schema(backendRef=_make_schema(**backend), fraction=fraction)
    filters = _make_list(requestRedirect=redirect, requestMirror=mirror)
    matches = _make_list(**match)
    if path:
        matches["default"] = [path]
    rules = _make_list(
        matches=matches,
        filters=filters,
        backendRefs=_make_list(**backend, weight=_make_default(1), filters=filters),
    )
    return _make_schema(parentRefs=parents, rules=rules)


_EXACT = _make_list(type=_make_default("Exact"))
_ANY_PATH = {"type": "PathPrefix", "value": "/"}
_PATH = _make_schema(type=_make_default("PathPrefix"), value=_make_default("/"))
_SAME = {"namespaces": {"from": "Same"}}
_ALLOWED = _make_schema(namespaces=_make_schema(**{"from": _make_default("Same")}))
#: What is known of the specs of kinds: their defaults.
_SPECS = {
    (GATEWAY_API, "HTTPRoute"): _make_route_spec(
        {"path": {**_PATH, "default": _ANY_PATH}, "headers": _EXACT, "queryParams": _EXACT},
        {"path": _ANY_PATH},
    ),
    (GATEWAY_API, "GRPCRoute"): _make_route_spec(
        {"method": _make_schema(type=_make_default("Exact")), "headers": _EXACT}, {}
    ),
    (GATEWAY_API, "Gateway"): _make_schema(
        listeners=_make_list(
            allowedRoutes={**_ALLOWED, "default": _SAME},
            tls=_make_schema(
                mode=_make_default("Terminate"),
                certificateRefs=_make_list(group=_make_default(""), kind=_make_default("Secret")),
            ),
        )
    ),
}
