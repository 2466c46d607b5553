"""A stand-in for the API server of a cluster: objects of a few kinds, listed, read and deleted.

It speaks HTTP on loopback with the real client library. Written from Kubernetes docs, "Kubernetes
API Concepts" (discovery, PartialObjectMetadata, preconditions) and "Namespaces" (how one ends).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Object = dict[str, Any]
#: (group/version, plural, kind, namespaced)
KINDS = (
    ("v1", "namespaces", "Namespace", False),
    ("v1", "configmaps", "ConfigMap", True),
    ("v1", "secrets", "Secret", True),
    ("v1", "events", "Event", True),
    ("v1", "pods", "Pod", True),
    ("v1", "services", "Service", True),
    ("apps/v1", "deployments", "Deployment", True),
    ("rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole", False),
    ("networking.istio.io/v1", "virtualservices", "VirtualService", True),
    ("networking.istio.io/v1", "gateways", "Gateway", True),
    ("networking.istio.io/v1alpha3", "virtualservices", "VirtualService", True),
    ("networking.istio.io/v1alpha3", "envoyfilters", "EnvoyFilter", True),
)
_VERBS = ["create", "delete", "get", "list", "patch"]


@dataclass
class Cluster:
    """What the stand-in holds: objects by plural, namespace and name; `asked` are its requests.

    `forbidden` are plurals that nobody may list, `refused` those of which a change is answered with
    403 and done by the cluster itself; `aggregated` whether discovery is, as it is from
    Kubernetes 1.27 on; so many lists are answered with 503 as `away` says. It lacks the versions of
    groups in `without`.
    """

    objects: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    forbidden: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    aggregated: bool = True
    away: int = 0
    without: set[str] = field(default_factory=set)
    requests: list[tuple[str, str]] = field(default_factory=list)
    kubeconfig: Path = Path()

    def add(self, kind: str, name: str, namespace: str = "", **metadata: Any) -> Object:
        """Have an object; `metadata` may hold labels, annotations, finalizers."""
        plural = next(kind_row[1] for kind_row in KINDS if kind_row[2] == kind)
        body: Object = {
            "apiVersion": next(kind_row[0] for kind_row in KINDS if kind_row[2] == kind),
            "kind": kind,
            "metadata": {"name": name, "uid": f"uid-{len(self.requests)}-{name}", **metadata},
            "spec": {},
        }
        if namespace:
            body["metadata"]["namespace"] = namespace
        self.objects[plural, namespace, name] = body
        return body

    def names(self) -> set[str]:
        """Return what there is, as `plural/namespace/name`."""
        return {"/".join(part for part in key if part) for key in self.objects}

    def apply(self, key: tuple[str, str, str], body: Object) -> Object:
        """Put an object in the place of the one that is there, which keeps its uid."""
        existing = self.objects.get(key, {"metadata": {"uid": f"uid-{len(self.requests)}"}})
        body["metadata"]["uid"] = existing["metadata"]["uid"]
        self.objects[key] = body
        return body

    def merge_patch(self, key: tuple[str, str, str], body: Object) -> Object:
        """Change the `spec` of an object."""
        existing = self.objects[key]
        existing["spec"].update(body["spec"])
        self.go_on(key[1])
        return existing

    def go_on(self, name: str) -> None:
        """Delete a namespace that is to go once its last pod has gone."""
        namespace = self.objects.get(("namespaces", "", name), {"metadata": {}})
        if namespace["metadata"].get("deletionTimestamp"):
            self.delete(("namespaces", "", name))

    def delete(self, key: tuple[str, str, str], within: bool = False) -> None:
        """Delete as the API server does: what has finalizers stays, a namespace with it.

        So does a Deployment with pods, which take their time, and a pod as long as its namespace
        alone is deleted.
        """
        body = self.objects[key]
        metadata = body["metadata"]
        if body.get("spec", {}).get("replicas") or (within and key[0] == "pods"):
            return
        if key[0] == "namespaces":
            for member in [member_key for member_key in self.objects if member_key[1] == key[2]]:
                self.delete(member, within=True)
        held = [
            body for body in self.objects.values() if body["metadata"].get("namespace") == key[2]
        ]
        if not metadata.get("finalizers") and not held:
            del self.objects[key]
            return
        metadata.setdefault("deletionTimestamp", "2026-11-28T20:00:00Z")
        if held:
            condition = {
                "type": "NamespaceContentRemaining",
                "status": "True",
                "message": f"Some resources are remaining: configmaps. has {len(held)} resource "
                "instances",
            }
            body["status"] = {"phase": "Terminating", "conditions": [condition]}


class _Handler(BaseHTTPRequestHandler):
    cluster: Cluster
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        self._serve("GET")

    def do_PATCH(self) -> None:
        self._serve("PATCH")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def _serve(self, method: str) -> None:
        url = urlsplit(self.path)
        self.cluster.requests.append((method, self.path))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if method == "GET" and (document := self._discovery(url.path)):
            self._answer(200, document)
            return
        at, plural, namespace, name = _parts(url.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if not name:
            self._answer(*self._list(at, plural, namespace, query.get("labelSelector", "")))
            return
        key = (plural, namespace, name)
        if method == "PATCH":
            merges = self.headers["Content-Type"] == "application/merge-patch+json"
            change = self.cluster.merge_patch if merges else self.cluster.apply
            changed = change(key, json.loads(body))
            refused = _forbidden(f'{plural} "{name}"', "patch")
            self._answer(*(refused if plural in self.cluster.refused else (200, changed)))
            return
        if key not in self.cluster.objects:
            self._answer(404, _status(404, f'{plural} "{name}" not found'))
            return
        document = self.cluster.objects[key]
        if method == "DELETE":
            expected_uid = json.loads(body or b"{}").get("preconditions", {}).get("uid")
            if expected_uid and expected_uid != document["metadata"]["uid"]:
                self._answer(409, _status(409, "the UID in the precondition does not match"))
                return
            self.cluster.delete(key)
            self.cluster.go_on(namespace)
        self._answer(200, document)

    def _list(self, at: str, plural: str, namespace: str, labels: str) -> tuple[int, Object]:
        if self.cluster.away:
            self.cluster.away -= 1
            return 503, _status(503, "the server is currently unable to handle the request")
        if plural in self.cluster.forbidden:
            return _forbidden(plural, "list")
        metadata_only = "PartialObjectMetadataList" in self.headers["Accept"]
        items = [
            {"metadata": body["metadata"]} if metadata_only else body
            for key, body in self.cluster.objects.items()
            if key[0] == plural and namespace in ("", key[1])
            if _selected(body["metadata"].get("labels") or {}, labels)
        ]
        return 200, {"kind": "List", "apiVersion": at, "metadata": {}, "items": items}

    def _discovery(self, path: str) -> Object | None:
        aggregated = "as=APIGroupDiscoveryList" in self.headers["Accept"]
        all_versions = dict.fromkeys(kind_row[0] for kind_row in KINDS)
        versions = [version for version in all_versions if version not in self.cluster.without]
        if path == "/version":
            return {"gitVersion": "v1.35.4"}
        if path in ("/api", "/apis") and aggregated and self.cluster.aggregated:
            mine = [version for version in versions if ("/" in version) == (path == "/apis")]
            groups = list(dict.fromkeys(version.rpartition("/")[0] for version in mine))
            return {"items": [_group(name, mine) for name in groups]}
        if path == "/api":
            return {"versions": ["v1"]}
        if path == "/apis":
            names = list(
                dict.fromkeys(version.partition("/")[0] for version in versions if "/" in version)
            )
            old = [_old_group(name, versions) for name in names]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": old}
        at = path.removeprefix("/apis/").removeprefix("/api/")
        if at not in versions:
            return None
        resources = [_resource(kind_row) for kind_row in KINDS if kind_row[0] == at]
        return {"kind": "APIResourceList", "groupVersion": at, "resources": resources}

    def _answer(self, status: int, document: Object) -> None:
        text = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def _parts(path: str) -> tuple[str, str, str, str]:
    """Return the version, plural, namespace and name that a path asks for."""
    segments = path.strip("/").split("/")
    at, tail = (
        ("v1", segments[2:]) if segments[0] == "api" else ("/".join(segments[1:3]), segments[3:])
    )
    namespace = ""
    if tail[0] == "namespaces" and len(tail) > 2:
        namespace, tail = tail[1], tail[2:]
    return at, tail[0], namespace, tail[1] if len(tail) > 1 else ""


def _selected(labels: dict[str, str], selector: str) -> bool:
    for part in filter(None, selector.split(",")):
        name, equals, value = part.partition("=")
        if name not in labels or (equals and labels[name] != value):
            return False
    return True


def _status(code: int, message: str) -> Object:
    return {"kind": "Status", "status": "Failure", "code": code, "message": message}


def _forbidden(what: str, verb: str) -> tuple[int, Object]:
    """Answer as the authorizer does (Kubernetes, responsewriters/errors.go)."""
    return 403, _status(403, f'{what} is forbidden: User "me" cannot {verb} resource')


def _group(name: str, versions: list[str]) -> Object:
    versions_found = [
        {
            "version": at.rpartition("/")[2],
            "resources": [
                {
                    "resource": plural,
                    "responseKind": {"kind": kind},
                    "scope": "Namespaced" if namespaced else "Cluster",
                    "verbs": _VERBS,
                }
                for of, plural, kind, namespaced in KINDS
                if of == at
            ],
        }
        for at in versions
        if at.rpartition("/")[0] == name
    ]
    return {"metadata": {"name": name} if name else {}, "versions": versions_found}


def _old_group(name: str, versions: list[str]) -> Object:
    version_entries = [
        {"groupVersion": version, "version": version.partition("/")[2]}
        for version in versions
        if version.partition("/")[0] == name
    ]
    return {"name": name, "versions": version_entries, "preferredVersion": version_entries[0]}


def _resource(kind: tuple[str, str, str, bool]) -> Object:
    return {"name": kind[1], "kind": kind[2], "namespaced": kind[3], "verbs": _VERBS}


@contextmanager
def served(folder: Path) -> Iterator[Cluster]:
    """Serve a cluster on loopback; its kubeconfig lies in `folder`."""
    cluster = Cluster()
    handler = type("Handler", (_Handler,), {"cluster": cluster})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        cluster.kubeconfig = folder / "kubeconfig"
        cluster.kubeconfig.write_text(yaml.safe_dump(_config(server.server_port)))
        yield cluster
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _config(port: int) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "stand-in",
        "contexts": [{"name": "stand-in", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "me", "user": {}}],
    }
