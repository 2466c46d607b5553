"""An Envoy that takes its whole config from istiod (ADS, in plaintext on loopback).

Sources: Envoy docs, "xDS API endpoints" (ADS) and "Runtime"; Istio's own bootstrap of a proxy for
its node (id, metadata) and its runtime settings.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from meshproof.base.names import CLUSTER_DOMAIN, Labels
from meshproof.mesh.envoy import admin
from meshproof.mesh.envoy.certificates import Identity
from meshproof.mesh.envoy.envoy import ConfigState, Envoy, Resource, make_socket_address
from meshproof.mesh.istiod.addresses import is_unprivileged
from meshproof.mesh.process.ports import HOST
from meshproof.mesh.process.processes import Workspace

#: The name of istiod's cluster in the bootstrap; istiod's config refers to none by that name.
_XDS_CLUSTER = "xds-grpc"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
#: What Istio sets for its proxies: its bootstrap's `runtime_flags`.
_RUNTIME = {"envoy.reloadable_features.http_reject_path_with_fragment": False}
_VERSION = re.compile(r"^(\S+)\.version_text: \"(.*)\"$", re.M)
_ROUTES_DUMP = "/config_dump?resource=dynamic_route_configs"


class IstioProxy(Envoy):
    """An Envoy as istiod's proxy: a `sidecar` of a pod, or the `router` of a gateway.

    `address` is an address of loopback that no other proxy of the run has: istiod knows it by that.
    With an `identity` it shows istiod who it is; `xds_port` is then the port that asks for it.
    """

    def __init__(
        self,
        name: str,
        workspace: Workspace,
        binary: Path,
        xds_port: int,
        address: str,
        namespace: str,
        labels: Labels,
        kind: str = "sidecar",
        identity: Identity | None = None,
    ) -> None:
        super().__init__(name, workspace, binary)
        self.address = address
        self.namespace = namespace
        self.labels = labels
        self._xds_port = xds_port
        self._identity = identity
        self.node_id = f"{kind}~{address}~{name}.{namespace}~{namespace}.{CLUSTER_DOMAIN}"

    @property
    def proxy_id(self) -> str:
        """The name of the proxy in istiod's answers."""
        return f"{self.name}.{self.namespace}"

    def has_routes_with(self, word: str) -> bool:
        """Say whether a route configuration that Envoy uses has a word in it."""
        return word in self.read_admin(_ROUTES_DUMP)

    def listens_elsewhere(self) -> bool:
        """Say whether Envoy has no listener, or one that is not at the address of this proxy.

        istiod makes such listeners for a proxy that it has no Sidecar for.
        """
        statuses = json.loads(self.read_admin("/listeners?format=json")).get(
            "listener_statuses", []
        )
        hosts = {status["local_address"]["socket_address"]["address"] for status in statuses}
        return hosts != {self.address}

    def read_versions(self) -> str:
        """Return the versions of all that Envoy has accepted, by the name of its statistic."""
        found = _VERSION.findall(self.read_admin("/stats?filter=version_text$"))
        return " ".join(f"{name}={version}" for name, version in sorted(found))

    def count_rejections(self) -> int:
        """Return how often Envoy has rejected a config."""
        return self.read_state().rejections.total()

    def is_settled(self) -> bool:
        """Say whether nothing warms up and nothing old drains. Raises NotReady if it has ended."""
        self.require_alive()
        state: ConfigState = self.read_state()
        return not state.unsettled_parts

    def _make_bootstrap(self) -> Resource:
        """Return the bootstrap config: who it is, where istiod is, an admin interface."""
        source = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
        service = {"envoy_grpc": {"cluster_name": _XDS_CLUSTER}}
        return {
            "node": {
                "id": self.node_id,
                "cluster": self.proxy_id,
                "metadata": self._make_metadata(),
            },
            "admin": admin.make_admin(self._socket.name),
            "layered_runtime": {"layers": [{"name": "istio", "static_layer": _RUNTIME}]},
            "dynamic_resources": {
                "ads_config": {
                    "api_type": "GRPC",
                    "transport_api_version": "V3",
                    "set_node_on_first_message_only": True,
                    "grpc_services": [service],
                },
                "lds_config": source,
                "cds_config": source,
            },
            "static_resources": {"clusters": [_make_xds_cluster(self._xds_port, self._identity)]},
        }

    def _make_metadata(self) -> Resource:
        """Return what istiod asks of a proxy: its labels, and that nothing is intercepted."""
        return {
            "CLUSTER_ID": "Kubernetes",
            "INSTANCE_IPS": self.address,
            "INTERCEPTION_MODE": "NONE",
            "LABELS": dict(self.labels),
            "NAMESPACE": self.namespace,
            # Without it istiod opens listeners that Envoy may not have.
            "UNPRIVILEGED_POD": "true" if is_unprivileged(self.address) else "false",
        }


def _make_xds_cluster(port: int, identity: Identity | None) -> Resource:
    """Return the cluster of istiod's gRPC port: the plain one, or that which asks who calls."""
    options = {
        "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    endpoint = {"endpoint": {"address": make_socket_address(HOST, port)}}
    transport = {"transport_socket": _make_transport(identity)} if identity else {}
    return {
        **transport,
        "name": _XDS_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {_HTTP_OPTIONS: options},
        "load_assignment": {
            "cluster_name": _XDS_CLUSTER,
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }


def _make_transport(identity: Identity) -> Resource:
    """Return the transport that shows istiod an identity and takes only the run's istiod."""
    certificate = {
        "certificate_chain": {"filename": str(identity.chain)},
        "private_key": {"filename": str(identity.key)},
    }
    common = {
        "alpn_protocols": ["h2"],
        "tls_certificates": [certificate],
        "validation_context": {"trusted_ca": {"filename": str(identity.ca)}},
    }
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."
            "UpstreamTlsContext",
            "common_tls_context": common,
        },
    }
