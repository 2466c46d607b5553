"""What DestinationRules say of connections: read as far as it could change who answers.

Load balancing among equals, limits and TLS do not: they are checked and passed over. What would
move requests to other workloads is refused by name.
Source: Istio reference, DestinationRule (TrafficPolicy).
"""

from __future__ import annotations

from meshproof.documents.manifest import Value

_BALANCERS = ("LEAST_CONN", "LEAST_REQUEST", "PASSTHROUGH", "RANDOM", "ROUND_ROBIN", "UNSPECIFIED")
_TLS_MODES = ("DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL")
_TLS = (
    *("caCertificates", "caCrl", "clientCertificate", "credentialName", "insecureSkipVerify"),
    *("mode", "privateKey", "sni", "subjectAltNames"),
)
_OUTLIERS = (
    *("baseEjectionTime", "consecutive5xxErrors", "consecutiveErrors", "consecutiveGatewayErrors"),
    *("consecutiveLocalOriginFailures", "interval", "maxEjectionPercent", "minHealthPercent"),
    "splitExternalLocalOriginErrors",
)
_TCP = ("connectTimeout", "idleTimeout", "maxConnectionDuration", "maxConnections", "tcpKeepalive")
_HTTP = (
    *("h2UpgradePolicy", "http1MaxPendingRequests", "http2MaxRequests", "idleTimeout"),
    *("maxConcurrentStreams", "maxRequestsPerConnection", "maxRetries", "useClientProtocol"),
)
_PARTS = ("connectionPool", "loadBalancer", "outlierDetection", "tls")


def check(policy: Value | None) -> None:
    """Check a trafficPolicy. Raises BadRules for unknown keys and for what moves requests."""
    if policy is None:
        return
    policy.allow(*_PARTS, "portLevelSettings", unsupported=("proxyProtocol", "tunnel"))
    _check_parts(policy)
    ports = policy.get("portLevelSettings")
    for setting in ports.items() if ports else []:
        setting.allow(*_PARTS, "port")
        setting.need("port").allow("number")
        _check_parts(setting)


def check_export(spec: Value) -> None:
    """Check that a rule is exported everywhere. Raises BadRules for one that is hidden."""
    found = spec.get("exportTo")
    if found is not None and [one.text() for one in found.items()] != ["*"]:
        raise found.at.unsupported(f"{found.path} is not supported yet, but for ['*']")


def _check_parts(policy: Value) -> None:
    pool, balancer = policy.get("connectionPool"), policy.get("loadBalancer")
    outliers, tls = policy.get("outlierDetection"), policy.get("tls")
    if balancer is not None:
        moves = ("consistentHash", "localityLbSetting")
        balancer.allow("simple", "warmup", "warmupDurationSecs", unsupported=moves)
        simple = balancer.get("simple")
        if simple is not None:
            simple.choice(*_BALANCERS)
    if pool is not None:
        pool.allow("http", "tcp")
        for key, known in (("http", _HTTP), ("tcp", _TCP)):
            part = pool.get(key)
            if part is not None:
                part.allow(*known)
    if outliers is not None:
        outliers.allow(*_OUTLIERS)
    if tls is not None:
        tls.allow(*_TLS)
        tls.need("mode").choice(*_TLS_MODES)
