"""Checks the traffic policies of DestinationRules.

Load balancing among equal workloads, limits and TLS do not change who answers: they are checked
and ignored. Settings that move requests to other workloads are not supported.
Source: Istio reference, DestinationRule (TrafficPolicy).
"""

from __future__ import annotations

from meshproof.documents.manifest import Value

_BALANCERS = ("LEAST_CONN", "LEAST_REQUEST", "PASSTHROUGH", "RANDOM", "ROUND_ROBIN", "UNSPECIFIED")
_TLS_MODES = ("DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL")
_TLS_KEYS = (
    *("caCertificates", "caCrl", "clientCertificate", "credentialName", "insecureSkipVerify"),
    *("mode", "privateKey", "sni", "subjectAltNames"),
)
_OUTLIER_KEYS = (
    *("baseEjectionTime", "consecutive5xxErrors", "consecutiveErrors", "consecutiveGatewayErrors"),
    *("consecutiveLocalOriginFailures", "interval", "maxEjectionPercent", "minHealthPercent"),
    "splitExternalLocalOriginErrors",
)
_TCP_KEYS = (
    "connectTimeout",
    "idleTimeout",
    "maxConnectionDuration",
    "maxConnections",
    "tcpKeepalive",
)
_HTTP_KEYS = (
    *("h2UpgradePolicy", "http1MaxPendingRequests", "http2MaxRequests", "idleTimeout"),
    *("maxConcurrentStreams", "maxRequestsPerConnection", "maxRetries", "useClientProtocol"),
)
_POLICY_KEYS = ("connectionPool", "loadBalancer", "outlierDetection", "tls")


def check_policy(policy: Value | None) -> None:
    """Check a trafficPolicy. Raises BadRules for unknown keys and for settings that reroute."""
    if policy is None:
        return
    policy.check_keys(*_POLICY_KEYS, "portLevelSettings", unsupported=("proxyProtocol", "tunnel"))
    _check_parts(policy)
    ports = policy.get("portLevelSettings")
    for setting in ports.items() if ports else []:
        setting.check_keys(*_POLICY_KEYS, "port")
        setting.need("port").check_keys("number")
        _check_parts(setting)


def check_export(spec: Value) -> None:
    """Check that a rule is exported everywhere. Raises BadRules for one that is not."""
    export_to = spec.get("exportTo")
    if export_to is not None and [namespace.text() for namespace in export_to.items()] != ["*"]:
        raise export_to.at.unsupported(f"{export_to.path} is not supported yet, but for ['*']")


def _check_parts(policy: Value) -> None:
    """Check the parts of a policy that a port may have, too."""
    pool, balancer = policy.get("connectionPool"), policy.get("loadBalancer")
    outliers, tls = policy.get("outlierDetection"), policy.get("tls")
    if balancer is not None:
        rerouting = ("consistentHash", "localityLbSetting")
        balancer.check_keys("simple", "warmup", "warmupDurationSecs", unsupported=rerouting)
        simple = balancer.get("simple")
        if simple is not None:
            simple.choice(*_BALANCERS)
    if pool is not None:
        pool.check_keys("http", "tcp")
        for key, valid_keys in (("http", _HTTP_KEYS), ("tcp", _TCP_KEYS)):
            part = pool.get(key)
            if part is not None:
                part.check_keys(*valid_keys)
    if outliers is not None:
        outliers.check_keys(*_OUTLIER_KEYS)
    if tls is not None:
        tls.check_keys(*_TLS_KEYS)
        tls.need("mode").choice(*_TLS_MODES)
