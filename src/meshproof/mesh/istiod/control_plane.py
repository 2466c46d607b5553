"""etcd, kube-apiserver and istiod as processes of the run, on ports of loopback.

Sources: the flags of the three programs (`--help`), Istio's reference "pilot-discovery" (flags and
environment variables) and Kubernetes API reference, ValidatingWebhookConfiguration.
"""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.base.names import ROOT_NAMESPACE
from meshproof.base.waiting import wait_for
from meshproof.mesh.envoy.certificates import Authority, Identity
from meshproof.mesh.istiod.api import ApiClient, Object
from meshproof.mesh.istiod.binaries import Binaries
from meshproof.mesh.istiod.definitions import KINDS, make_definitions
from meshproof.mesh.process.ports import HOST, find_free_ports
from meshproof.mesh.process.processes import Process, Workspace, write_atomically

#: How often to look whether a program has ended whose connection did.
_LOOKS = 20
_CRDS_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_WEBHOOKS_PATH = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
_NAMESPACES_PATH = "/api/v1/namespaces"
#: What this istiod must not ask of its proxies: upstream Envoy lacks Istio's own filters.
_ENVIRONMENT = {
    "PILOT_ENABLE_METADATA_EXCHANGE": "false",
    "PILOT_ENABLE_ALPN_FILTER": "false",
    # A Gateway of Gateway API is the run's one ingress, and no Deployment of its own.
    "PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER": "false",
    "POD_NAMESPACE": ROOT_NAMESPACE,
    "POD_NAME": "istiod",
    "REVISION": "default",
    "CLUSTER_ID": "Kubernetes",
    "ENABLE_LEADER_ELECTION": "false",
    "ENABLE_CA_SERVER": "false",
    "INJECTION_WEBHOOK_CONFIG_NAME": "",
    "VALIDATION_WEBHOOK_CONFIG_NAME": "",
}
#: No certificates on loopback, and no access log: it would be one for all proxies.
MESH_CONFIG: Object = {"enableAutoMtls": False}
_WEBHOOK = "istiod.meshproof.run"
_MAX_WEBHOOK_SECONDS = 10


class ControlPlane:
    """An istiod with an API server and etcd of its own; `start` returns when istiod serves."""

    def __init__(self, workspace: Workspace, binaries: Binaries, authority: Authority) -> None:
        self._workspace = workspace
        self._binaries = binaries
        self._identity = authority.issue_for_address("control-plane", HOST)
        self._processes: list[Process] = []
        self._known_namespaces: set[str] = set()
        ports = find_free_ports(8)
        self._etcd_port, self._etcd_peer_port, self._api_port, self.xds_port = ports[:4]
        self._debug_port, self._webhook_port, self.secure_port, self._monitoring_port = ports[4:]
        self.api = ApiClient(
            self._api_port, self._identity.ca, secrets.token_hex(16), self._require_alive_soon
        )
        self.version = ""

    def start(self, mesh_config: Object) -> None:
        """Start the three programs. Raises NotReady with the end of a log for one that does not."""
        self._start_etcd()
        self._start_apiserver()
        self._wait_ready("kube-apiserver", self.api.is_ready)
        self.ensure_namespace(ROOT_NAMESPACE)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda body: self.api.create(_CRDS_PATH, body), make_definitions()))
        self._wait_ready("kube-apiserver", self._has_kinds)
        self._start_istiod(mesh_config)
        self._wait_ready("istiod", self._is_istiod_ready)
        self.api.create(_WEBHOOKS_PATH, self._make_webhook())
        self.version = self._read_version()

    def ensure_namespace(self, name: str) -> None:
        """Create a namespace unless it is there."""
        if name not in self._known_namespaces:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            self.api.create(_NAMESPACES_PATH, body)
            self._known_namespaces.add(name)

    def read_debug(self, path: str) -> str:
        """Return the answer of istiod at a path of its debug interface.

        Raises NotReady if there is none, ProcessEnded if istiod or what it needs has ended.
        """
        return self._read_istiod(self._debug_port, path)

    def _read_istiod(self, port: int, path: str) -> str:
        """Return the answer of istiod at a path of one of its ports; see `read_debug`."""
        connection = http.client.HTTPConnection(HOST, port, timeout=timeouts.ADMIN)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            self._istiod.does_end_within(timeouts.PROCESS_DIES)
            self.require_alive()
            raise NotReady(f"istiod does not answer at {path}: {error}") from None
        finally:
            connection.close()
        if response.status != 200:
            raise NotReady(f"istiod answers {response.status} at {path}: {text[:200]}")
        return text

    def require_alive(self) -> None:
        """Raise ProcessEnded with the end of its log if one of the programs has ended."""
        for process in self._processes:
            process.require_alive()

    def _require_alive_soon(self) -> None:
        """Do the same a few times: connections end a moment before their process has ended."""
        for _ in range(_LOOKS):
            self.require_alive()
            threading.Event().wait(timeouts.POLL_SLOW / 4)

    @property
    def _istiod(self) -> Process:
        """The process of istiod."""
        return self._processes[-1]

    def _start_etcd(self) -> None:
        """Start etcd; only holders of a certificate of this run may talk to it."""
        client, peer = (
            f"https://{HOST}:{port}" for port in (self._etcd_port, self._etcd_peer_port)
        )
        folder = self._workspace.path / "etcd"
        folder.mkdir(mode=0o700)
        command = [
            *(self._binaries.etcd, "--data-dir", folder, "--unsafe-no-fsync"),
            *("--log-level", "warn", "--listen-client-urls", client),
            *("--advertise-client-urls", client, "--listen-peer-urls", peer),
            *("--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"),
            *("--client-cert-auth", "--peer-client-cert-auth"),
            *_make_tls_flags(self._identity, "--trusted-ca-file", "--cert-file", "--key-file"),
            *_make_tls_flags(
                self._identity, "--peer-trusted-ca-file", "--peer-cert-file", "--peer-key-file"
            ),
        ]
        self._processes.append(self._workspace.start("etcd", command))

    def _start_apiserver(self) -> None:
        """Start the API server; only the run's own token is let in."""
        tokens = self._workspace.path / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text(f"{self.api.token},meshproof,meshproof,system:masters\n")
        identity = self._identity
        command = [
            *(self._binaries.apiserver, "--etcd-servers", f"https://{HOST}:{self._etcd_port}"),
            *_make_tls_flags(identity, "--etcd-cafile", "--etcd-certfile", "--etcd-keyfile"),
            *("--bind-address", HOST, "--secure-port", str(self._api_port)),
            *("--tls-cert-file", identity.chain, "--tls-private-key-file", identity.key),
            *("--token-auth-file", tokens, "--anonymous-auth=false"),
            *("--authorization-mode", "AlwaysAllow"),
            *("--disable-admission-plugins", "ServiceAccount"),
            *("--service-account-issuer", "https://kubernetes.default.svc"),
            *("--service-account-signing-key-file", identity.key),
            *("--service-account-key-file", identity.chain),
            *(
                "--external-hostname",
                HOST,
                "--service-cluster-ip-range",
                "10.96.0.0/16",
                "--profiling=false",
            ),
            *("--cert-dir", self._workspace.path / "apiserver"),
        ]
        self._processes.append(self._workspace.start("kube-apiserver", command))

    def _start_istiod(self, mesh_config: Object) -> None:
        """Start istiod on this API server."""
        kubeconfig = self._workspace.path / "kubeconfig.json"
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(json.dumps(self._make_kubeconfig()))
        mesh_file = self._workspace.path / "mesh.json"
        write_atomically(mesh_file, json.dumps(mesh_config))
        addresses = {
            "--httpAddr": self._debug_port,
            "--grpcAddr": self.xds_port,
            "--httpsAddr": self._webhook_port,
            "--secureGRPCAddr": self.secure_port,
            "--monitoringAddr": self._monitoring_port,
        }
        command = [
            *(self._binaries.istiod, "discovery", "--kubeconfig", kubeconfig),
            *("--meshConfig", mesh_file, "--ctrlz_port", "0"),
            *(word for flag, port in addresses.items() for word in (flag, f"{HOST}:{port}")),
            *_make_tls_flags(self._identity, "--caCertFile", "--tlsCertFile", "--tlsKeyFile"),
        ]
        self._processes.append(self._workspace.start("istiod", command, _ENVIRONMENT))

    def _make_kubeconfig(self) -> Object:
        """Return the kubeconfig by which istiod reaches the API server."""
        cluster = {
            "server": f"https://{HOST}:{self._api_port}",
            "certificate-authority": str(self._identity.ca),
        }
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "run", "cluster": cluster}],
            "users": [{"name": "run", "user": {"token": self.api.token}}],
            "contexts": [{"name": "run", "context": {"cluster": "run", "user": "run"}}],
            "current-context": "run",
        }

    def _make_webhook(self) -> Object:
        """Return the object that lets istiod check every object that is applied."""
        rule = {
            "apiGroups": list(KINDS),
            "apiVersions": ["*"],
            "resources": ["*"],
            "operations": ["CREATE", "UPDATE"],
        }
        bundle = base64.b64encode(self._identity.ca.read_bytes()).decode()
        webhook = {
            "name": _WEBHOOK,
            "clientConfig": {
                "url": f"https://{HOST}:{self._webhook_port}/validate",
                "caBundle": bundle,
            },
            "rules": [rule],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": _MAX_WEBHOOK_SECONDS,
        }
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": _WEBHOOK},
            "webhooks": [webhook],
        }

    def _has_kinds(self) -> bool:
        """Say whether the API server serves every kind of Istio."""
        definitions = self.api.get(_CRDS_PATH)["items"]
        return bool(definitions) and all(map(_is_established, definitions))

    def _is_istiod_ready(self) -> bool:
        """Say whether istiod answers that it is ready."""
        try:
            self.read_debug("/ready")
        except NotReady:
            self.require_alive()
            return False
        return True

    def _wait_ready(self, name: str, is_ready: Callable[[], bool]) -> None:
        """Wait until a program is ready. Raises NotReady with the end of its log."""
        process = next(process for process in self._processes if process.name == name)

        def look() -> bool | None:
            self.require_alive()
            return True if is_ready() else None

        wait_for(
            look,
            timeouts.CONTROL_PLANE_START,
            lambda: (
                f"{name} is not ready after {timeouts.CONTROL_PLANE_START:.0f} s; last lines of "
                f"its log:\n{process.tail()}"
            ),
            timeouts.POLL_SLOW / 4,
        )

    def _read_version(self) -> str:
        """Return the version that istiod tells. Raises NotReady for a program that tells none."""
        return self._read_istiod(self._monitoring_port, "/version").strip()


def _is_established(definition: Object) -> bool:
    """Say whether the API server serves the kind of a definition."""
    conditions = definition.get("status", {}).get("conditions") or ()
    return any(
        condition["type"] == "Established" and condition["status"] == "True"
        for condition in conditions
    )


def _make_tls_flags(identity: Identity, ca: str, chain: str, key: str) -> list[str | Path]:
    """Return the flags that give a program the CA, the certificate and the key of the run."""
    return [ca, identity.ca, chain, identity.chain, key, identity.key]
