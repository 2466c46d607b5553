"""Make Envoy's listeners: inbound and outbound ones of sidecars, and those of the gateway.

Source: Envoy's v3 API reference (listener, HTTP connection manager, TLS) and Istio's page on mutual
TLS: a PERMISSIVE sidecar tells TLS from plaintext by the first bytes; a STRICT one accepts only TLS
with a certificate of the mesh.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from meshproof.base.names import MIRROR_HEADER, RUN_HEADER
from meshproof.mesh.envoy import hops
from meshproof.mesh.envoy.actions import make_cors_filter, make_fault_filter
from meshproof.mesh.envoy.certificates import Identity
from meshproof.mesh.envoy.envoy import Resource, make_path_source, make_socket_address
from meshproof.rules.model import MtlsMode, TlsMode

_API = "type.googleapis.com/envoy"
_ALPN = ["istio"]
RUN_TAG = "meshproof.run.record"
TRACE_CLUSTER = "trace_collector"


@dataclass(frozen=True)
class Telemetry:
    """The telemetry of a listener: where it logs requests, and whether it sends spans."""

    access_log: str
    tracing: bool


#: Reads from a connection's first bytes whether it is TLS, and for which name.
_TLS_INSPECTOR: Resource = {
    "name": "envoy.filters.listener.tls_inspector",
    "typed_config": {"@type": f"{_API}.extensions.filters.listener.tls_inspector.v3.TlsInspector"},
}


@dataclass(frozen=True)
class TlsChain:
    """A server of a gateway where TLS ends: for which hosts, how, and which routes follow.

    `name` and `routes_path` are those of its route configuration.
    """

    name: str
    routes_path: str
    hosts: tuple[str, ...]
    mode: TlsMode
    certificate: Identity


def make_inbound_listener(
    port: int, cluster: str, mode: MtlsMode, identity: Identity, telemetry: Telemetry
) -> Resource:
    """Return the listener where the mesh reaches the pod: plaintext, mutual TLS or both."""
    chains = []
    if mode != "DISABLE":
        tls = {"transport_protocol": "tls"}
        chains.append({"filter_chain_match": tls, "transport_socket": _make_server_tls(identity)})
    if mode != "STRICT":
        chains.append({"filter_chain_match": {"transport_protocol": "raw_buffer"}})
    manager = _make_http_manager("inbound", telemetry, "INBOUND") | {
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": {"uri": True},
        "route_config": _route_all_to(cluster),
    }
    return {
        "name": "inbound",
        "address": make_socket_address("127.0.0.1", port),
        "traffic_direction": "INBOUND",
        "listener_filters": [_TLS_INSPECTOR],
        "filter_chains": [
            {**chain, "filters": [_make_network_filter(manager)]} for chain in chains
        ],
    }


def _route_all_to(cluster: str) -> Resource:
    """Return a route configuration that sends every request to one cluster."""
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


def make_outbound_listener(
    name: str, port: int, routes_path: str, telemetry: Telemetry
) -> Resource:
    """Return the listener for the app (as its HTTP proxy) or for clients outside the mesh."""
    manager = _make_outbound_manager(name, routes_path, telemetry)
    return {
        "name": name,
        "address": make_socket_address("127.0.0.1", port),
        "traffic_direction": "OUTBOUND",
        "filter_chains": [{"filters": [_make_network_filter(manager)]}],
    }


def make_tls_listener(
    name: str, port: int, chains: Iterable[TlsChain], telemetry: Telemetry
) -> Resource:
    """Return the listener of a gateway port where TLS ends: a filter chain for each server.

    The name that a client asks for (SNI) chooses the chain, unless the server is for all hosts.
    """
    return {
        "name": name,
        "address": make_socket_address("127.0.0.1", port),
        "traffic_direction": "OUTBOUND",
        "listener_filters": [_TLS_INSPECTOR],
        "filter_chains": [_make_tls_chain(chain, telemetry) for chain in chains],
    }


def _make_tls_chain(chain: TlsChain, telemetry: Telemetry) -> Resource:
    """Return the filter chain of one server."""
    manager = _make_outbound_manager(chain.name, chain.routes_path, telemetry)
    match = {} if "*" in chain.hosts else {"server_names": sorted(chain.hosts)}
    asks = chain.mode != "SIMPLE"
    common_tls = _make_common_tls(chain.certificate, {}) | {"alpn_protocols": ["h2", "http/1.1"]}
    if not asks:
        del common_tls["validation_context"]
    return {
        "name": chain.name,
        "filter_chain_match": match,
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{_API}.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "require_client_certificate": chain.mode == "MUTUAL",
                "common_tls_context": common_tls,
            },
        },
        "filters": [_make_network_filter(manager)],
    }


def _make_outbound_manager(name: str, routes_path: str, telemetry: Telemetry) -> Resource:
    """Return the HTTP connection manager of requests that are sent on."""
    manager = _make_http_manager(name, telemetry, "OUTBOUND") | _make_rds_source(name, routes_path)
    manager["http_filters"][:0] = [make_fault_filter(), make_cors_filter()]  # in istiod's order
    return manager


def make_answering_listener(
    name: str, routes: Resource, copies_path: str, server: Identity | None = None
) -> Resource:
    """Return a listener that answers by itself, without an app; with `server` it speaks TLS.

    A request may ask for a late response by Envoy's own headers (its docs, "Fault injection"). For
    a request with the header MIRROR_HEADER, one line with its value and `name` goes to the file
    `copies_path`.
    """
    manager = {
        **_make_http_manager(name, Telemetry(copies_path, False), "INBOUND"),
        "route_config": routes,
    }
    delay = {"header_delay": {}, "percentage": {"numerator": 100}}
    manager["http_filters"].insert(0, make_fault_filter({"delay": delay}))
    line = f"%REQ({MIRROR_HEADER})% {name}\n"
    (log,) = manager["access_log"]
    log["typed_config"]["log_format"]["text_format_source"]["inline_string"] = line
    log["filter"] = {"header_filter": {"header": {"name": MIRROR_HEADER, "present_match": True}}}
    return {
        "name": name,
        "address": make_socket_address("127.0.0.1", 0),
        "filter_chains": [
            {
                "filters": [_make_network_filter(manager)],
                **({"transport_socket": _make_plain_tls(server)} if server else {}),
            }
        ],
    }


def _make_plain_tls(identity: Identity) -> Resource:
    """Return the transport of a server that asks for no client certificate."""
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_API}.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": str(identity.chain)},
                        "private_key": {"filename": str(identity.key)},
                    }
                ]
            },
        },
    }


def _make_rds_source(name: str, path: str) -> Resource:
    """Return the setting that reads the routes from a file."""
    return {"rds": {"route_config_name": name, "config_source": make_path_source(Path(path))}}


def _make_network_filter(manager: Resource) -> Resource:
    """Return the network filter that holds an HTTP connection manager."""
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


def _make_http_manager(prefix: str, telemetry: Telemetry, direction: str) -> Resource:
    """Return an HTTP connection manager with access log, router and tracing."""
    manager: Resource = {
        "@type": f"{_API}.extensions.filters.network.http_connection_manager.v3"
        ".HttpConnectionManager",
        "stat_prefix": prefix,
        "server_name": "istio-envoy",
        "access_log": [_make_access_log(telemetry.access_log, direction)],
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_API}.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    if telemetry.tracing:
        manager["tracing"] = _make_tracing()
    return manager


def _make_access_log(path: str, direction: str) -> Resource:
    """Return the access log in the format of `hops`."""
    line = hops.LOG_FORMAT.format(direction=direction.lower(), run_header=RUN_HEADER)
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{_API}.extensions.access_loggers.file.v3.FileAccessLog",
            "path": path,
            "log_format": {"text_format_source": {"inline_string": line}},
        },
    }


def _make_tracing() -> Resource:
    """Return the tracing config: spans of requests that ask for them go to the trace collector.

    Those are the ones with TRACE_HEADER (Envoy docs, "Tracing", client_sampling). Spans of all the
    others would take a tenth of a run's processor time, and nobody looks at them.
    """
    return {
        "random_sampling": {"value": 0.0},
        "client_sampling": {"value": 100.0},
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


def _make_common_tls(identity: Identity, validation: Resource) -> Resource:
    """Return the part of a TLS context that clients and servers share."""
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


def _make_server_tls(identity: Identity) -> Resource:
    """Return the transport that requires a client certificate of the mesh."""
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_API}.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": True,
            "common_tls_context": _make_common_tls(identity, {}),
        },
    }


def make_origination(identity: Identity, host: str) -> Resource:
    """Return the transport to a host outside: TLS to a server with a certificate for the host."""
    names = [{"san_type": "DNS", "matcher": {"exact": host}}]
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_API}.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": host,
            "common_tls_context": {
                "validation_context": {
                    "trusted_ca": {"filename": str(identity.ca)},
                    "match_typed_subject_alt_names": names,
                }
            },
        },
    }


def make_client_tls(identity: Identity, peers: list[str], sni: str) -> Resource:
    """Return the transport that shows `identity` and accepts only `peers` as servers."""
    names = [{"san_type": "URI", "matcher": {"exact": peer}} for peer in peers]
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_API}.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": sni,
            "common_tls_context": _make_common_tls(
                identity, {"match_typed_subject_alt_names": names}
            ),
        },
    }
