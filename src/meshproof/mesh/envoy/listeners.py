"""Envoy's listeners: the sidecar's inbound and outbound ones and the gateway's.

Source: Envoy's v3 API reference (listener, HTTP connection manager, TLS) and Istio's page on
mutual TLS: a PERMISSIVE sidecar tells TLS from plaintext by the first bytes, a STRICT one takes
TLS with a certificate of the mesh only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from meshproof.mesh.envoy import hops
from meshproof.mesh.envoy.actions import cors_filter, fault_filter
from meshproof.mesh.envoy.certificates import Identity
from meshproof.mesh.envoy.envoy import Resource, path_source, socket_address
from meshproof.rules.model import MtlsMode

_API = "type.googleapis.com/envoy"
_ALPN = ["istio"]
#: Header by which our requests are told apart, in traces too.
RUN_HEADER = "x-meshproof-run"
#: Header of requests whose copies are looked for at the workloads.
MIRROR = "x-meshproof-mirror"
RUN_TAG = "meshproof.run.record"
TRACE_CLUSTER = "trace_collector"


@dataclass(frozen=True)
class Telemetry:
    """What every listener does beside routing: write an access log and, maybe, send spans."""

    access_log: str
    tracing: bool


def inbound(
    port: int, cluster: str, mode: MtlsMode, identity: Identity, telemetry: Telemetry
) -> Resource:
    """Return the listener where the mesh reaches the pod: plaintext, mutual TLS or both."""
    chains = []
    if mode != "DISABLE":
        tls = {"transport_protocol": "tls"}
        chains.append({"filter_chain_match": tls, "transport_socket": _server_tls(identity)})
    if mode != "STRICT":
        chains.append({"filter_chain_match": {"transport_protocol": "raw_buffer"}})
    manager = _manager("inbound", telemetry, "INBOUND") | {
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": {"uri": True},
        "route_config": _everything_to(cluster),
    }
    return {
        "name": "inbound",
        "address": socket_address("127.0.0.1", port),
        "traffic_direction": "INBOUND",
        "listener_filters": [
            {
                "name": "envoy.filters.listener.tls_inspector",
                "typed_config": {
                    "@type": f"{_API}.extensions.filters.listener.tls_inspector.v3.TlsInspector"
                },
            }
        ],
        "filter_chains": [{**chain, "filters": [_network_filter(manager)]} for chain in chains],
    }


def _everything_to(cluster: str) -> Resource:
    route = {
        "match": {"prefix": "/"},
        "route": {"cluster": cluster, "timeout": "0s"},
        "decorator": {"operation": cluster},
    }
    return {
        "name": "inbound",
        "validate_clusters": False,
        "virtual_hosts": [{"name": "inbound", "domains": ["*"], "routes": [route]}],
    }


def outbound(name: str, port: int, routes_path: str, telemetry: Telemetry) -> Resource:
    """Return the listener through which the app (as HTTP proxy) or an outside client comes."""
    manager = _manager(name, telemetry, "OUTBOUND") | _routes(name, routes_path)
    manager["http_filters"][:0] = [fault_filter(), cors_filter()]  # in istiod's order
    return {
        "name": name,
        "address": socket_address("127.0.0.1", port),
        "traffic_direction": "OUTBOUND",
        "filter_chains": [{"filters": [_network_filter(manager)]}],
    }


def answering(name: str, routes: Resource, seen: str) -> Resource:
    """Return a listener that answers by itself, without an app.

    By Envoy's own headers a request asks for a late answer (its docs, "Fault injection"). One with
    the header MIRROR is noted in the file `seen`: a line of its value and the name.
    """
    manager = {**_manager(name, Telemetry(seen, False), "INBOUND"), "route_config": routes}
    late = {"header_delay": {}, "percentage": {"numerator": 100}}
    manager["http_filters"].insert(0, fault_filter({"delay": late}))
    line = f"%REQ({MIRROR})% {name}\n"
    (log,) = manager["access_log"]
    log["typed_config"]["log_format"]["text_format_source"]["inline_string"] = line
    log["filter"] = {"header_filter": {"header": {"name": MIRROR, "present_match": True}}}
    return {
        "name": name,
        "address": socket_address("127.0.0.1", 0),
        "filter_chains": [{"filters": [_network_filter(manager)]}],
    }


def _routes(name: str, path: str) -> Resource:
    return {"rds": {"route_config_name": name, "config_source": path_source(Path(path))}}


def _network_filter(manager: Resource) -> Resource:
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


def _manager(prefix: str, telemetry: Telemetry, direction: str) -> Resource:
    manager: Resource = {
        "@type": f"{_API}.extensions.filters.network.http_connection_manager.v3"
        ".HttpConnectionManager",
        "stat_prefix": prefix,
        "server_name": "istio-envoy",
        "access_log": [_access_log(telemetry.access_log, direction)],
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_API}.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    if telemetry.tracing:
        manager["tracing"] = _tracing()
    return manager


def _access_log(path: str, direction: str) -> Resource:
    line = hops.LINE.format(direction=direction.lower(), run_header=RUN_HEADER)
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{_API}.extensions.access_loggers.file.v3.FileAccessLog",
            "path": path,
            "log_format": {"text_format_source": {"inline_string": line}},
        },
    }


def _tracing() -> Resource:
    return {
        "random_sampling": {"value": 100.0},
        "custom_tags": [{"tag": RUN_TAG, "request_header": {"name": RUN_HEADER}}],
        "provider": {
            "name": "envoy.tracers.zipkin",
            "typed_config": {
                "@type": f"{_API}.config.trace.v3.ZipkinConfig",
                "collector_cluster": TRACE_CLUSTER,
                "collector_endpoint": "/api/v2/spans",
                "collector_endpoint_version": "HTTP_JSON",
                "trace_id_128bit": True,
                "shared_span_context": False,
            },
        },
    }


def _common_tls(identity: Identity, validation: Resource) -> Resource:
    return {
        "alpn_protocols": _ALPN,
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(identity.chain)},
                "private_key": {"filename": str(identity.key)},
            }
        ],
        "validation_context": {"trusted_ca": {"filename": str(identity.ca)}, **validation},
    }


def _server_tls(identity: Identity) -> Resource:
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_API}.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": True,
            "common_tls_context": _common_tls(identity, {}),
        },
    }


def client_tls(identity: Identity, peers: list[str], sni: str) -> Resource:
    """Return the transport that shows `identity` and takes only servers that are one of `peers`."""
    names = [{"san_type": "URI", "matcher": {"exact": peer}} for peer in peers]
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_API}.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": sni,
            "common_tls_context": _common_tls(identity, {"match_typed_subject_alt_names": names}),
        },
    }
