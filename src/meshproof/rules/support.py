"""Which keys of each kind of rule are not supported, and which ones route nothing.

Every other key that a kind has is read into the model; tests/rules/test_every_key.py looks.
"""

from __future__ import annotations

from meshproof.documents.problems import Support
from meshproof.documents.schema import MOVED_KINDS

_POLICIES = ("spec.trafficPolicy", "spec.subsets.trafficPolicy")
_OVERRIDDEN = "Envoy lets no header of a request decide it"
_CUSTOM = "it was never more than a name for config of Envoy's own"
_HTTP_ONLY = "only HTTP requests are sent and served"
#: Fields of TLS at a gateway that decide which clients and files fit, not where requests go.
_TLS_KEYS_NOT_ASKED = (
    *("caCertCredentialName", "caCertificates", "caCrl", "cipherSuites", "credentialName"),
    *("credentialNames", "insecureSkipVerify", "maxProtocolVersion", "minProtocolVersion"),
    *("privateKey", "serverCertificate", "subjectAltNames", "tlsCertificates"),
    *("verifyCertificateHash", "verifyCertificateSpki"),
)
_ROUTE_KEYS = ("spec.useDefaultGateways", "spec.rules.sessionPersistence")


#: (group, kind) -> what its reader does not read.
SUPPORT = {
    ("networking.istio.io", "VirtualService"): Support(
        unsupported=dict.fromkeys(
            (
                "spec.tcp",
                "spec.tls",
                "spec.http.fault.abort.http2Error",
                "spec.http.fault.delay.exponentialDelay",
                "spec.http.retries.backoff",
            ),
            "",
        ),
        without_effect=(
            "spec.http.match.name",
            "spec.http.match.statPrefix",
            "spec.http.retries.retryRemoteLocalities",
        ),
    ),
    ("networking.istio.io", "DestinationRule"): Support(
        unsupported=dict.fromkeys(
            (
                "spec.workloadSelector",
                *(
                    f"{policy}.{key}"
                    for policy in _POLICIES
                    for key in ("proxyProtocol", "tunnel", "retryBudget")
                ),
            ),
            "",
        ),
        without_effect=("spec.trafficPolicy", "spec.subsets.trafficPolicy"),
    ),
    ("networking.istio.io", "Gateway"): Support(
        unsupported=dict.fromkeys(
            (
                "spec.servers.bind",
                "spec.servers.defaultEndpoint",
                "spec.servers.port.targetPort",
            ),
            "",
        ),
        without_effect=(
            "spec.servers.name",
            "spec.servers.port.name",
            *(f"spec.servers.tls.{key}" for key in _TLS_KEYS_NOT_ASKED),
        ),
    ),
    ("security.istio.io", "PeerAuthentication"): Support(without_effect=("spec.portLevelMtls",)),
    ("gateway.networking.k8s.io", "Gateway"): Support(
        unsupported=dict.fromkeys(
            (
                "spec.allowedListeners",
                "spec.defaultScope",
                "spec.listeners.tls.options",
                "spec.tls",
            ),
            "",
        ),
        without_effect=("spec.addresses", "spec.infrastructure"),
    ),
    ("gateway.networking.k8s.io", "HTTPRoute"): Support(
        dict.fromkeys((*_ROUTE_KEYS, "spec.rules.retry.backoff"), "")
    ),
    ("gateway.networking.k8s.io", "GRPCRoute"): Support(dict.fromkeys(_ROUTE_KEYS, "")),
    ("config.istio.io", "RouteRule"): Support(
        unsupported={
            "spec.l4Fault": "it is about connections of TCP, of which no HTTP request tells",
            "spec.destination.labels": "",
            "spec.route.destination.labels": "",
            "spec.match.tcp": _HTTP_ONLY,
            "spec.match.udp": _HTTP_ONLY,
            "spec.httpReqTimeout.custom": _CUSTOM,
            "spec.httpReqTimeout.simpleTimeout.overrideHeaderName": _OVERRIDDEN,
            "spec.httpReqRetries.custom": _CUSTOM,
            "spec.httpReqRetries.simpleRetry.overrideHeaderName": _OVERRIDDEN,
            "spec.httpFault.delay.exponentialDelay": "Envoy delays by a fixed time only",
            "spec.httpFault.delay.overrideHeaderName": _OVERRIDDEN,
            "spec.httpFault.abort.grpcStatus": "the echo workloads are asked by HTTP",
            "spec.httpFault.abort.http2Error": (
                "Envoy aborts with a status, not with an error of HTTP/2"
            ),
            "spec.httpFault.abort.overrideHeaderName": _OVERRIDDEN,
        },
        # Envoy upgrades to WebSocket on every request for it.
        without_effect=("spec.websocketUpgrade",),
    ),
    ("config.istio.io", "DestinationPolicy"): Support(
        without_effect=(
            "spec.destination",
            "spec.source",
            "spec.loadBalancing",
            "spec.circuitBreaker",
        )
    ),
    ("config.istio.io", "EgressRule"): Support(without_effect=("spec.useEgressProxy",)),
    ("networking.k8s.io", "Ingress"): Support(
        unsupported=dict.fromkeys(
            (
                "spec.backend.resource",
                "spec.defaultBackend.resource",
                "spec.rules.http.paths.backend.resource",
                "spec.tls",
            ),
            "",
        ),
        old_keys=(
            "spec.backend",
            *(
                f"{backend}.{key}"
                for backend in (
                    "spec.backend",
                    "spec.defaultBackend",
                    "spec.rules.http.paths.backend",
                )
                for key in ("serviceName", "servicePort")
            ),
        ),
    ),
}
NOTHING_LEFT_OUT = Support()


def find_support(group: str, kind: str) -> Support:
    """Return what the reader of a kind does not read. `group` may be an old one of the kind."""
    served_group = MOVED_KINDS.get((group, kind), group)
    return SUPPORT.get((served_group, kind), NOTHING_LEFT_OUT)
