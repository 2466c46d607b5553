"""Reads rules from live namespaces: `cluster:[CONTEXT/]NAMESPACE[,NAMESPACE]` in place of a path.

Objects are only listed, never changed. Each is read as YAML without the fields that the server
sets. The place of a value is `cluster:CONTEXT/NAMESPACE Kind/name` and a line of that YAML.
Sources: Kubernetes API reference, ObjectMeta; Istio docs, "Configuration", Gateway API docs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshproof.base.errors import BadRules, NotReady, UsageError, suggest_nearest
from meshproof.base.names import INGRESS_ANNOTATION, INGRESS_CLASS, INGRESS_CONTROLLER
from meshproof.documents.manifest import Document, parse

if TYPE_CHECKING:
    from meshproof.mesh.cluster.api.client import Kube
    from meshproof.mesh.protocol import ClusterOptions

PREFIX = "cluster:"
_ISTIO = ("v1", "v1beta1", "v1alpha3")
#: Group, kind and its versions; the first version that the cluster serves is used.
KINDS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    *(
        ("networking.istio.io", kind, _ISTIO)
        for kind in (
            *("VirtualService", "DestinationRule", "Gateway", "ServiceEntry", "Sidecar"),
            *("WorkloadEntry",),
        )
    ),
    ("security.istio.io", "PeerAuthentication", ("v1", "v1beta1")),
    *(
        ("gateway.networking.k8s.io", kind, ("v1", "v1beta1"))
        for kind in ("Gateway", "HTTPRoute", "GRPCRoute", "ReferenceGrant")
    ),
    ("networking.k8s.io", "Ingress", ("v1",)),
    ("", "Service", ("v1",)),
    *(("apps", kind, ("v1",)) for kind in ("Deployment", "StatefulSet", "DaemonSet")),
)
#: Metadata that the server or a client sets, not the author.
_SET_BY_SERVER = (
    *("creationTimestamp", "generation", "managedFields", "ownerReferences", "resourceVersion"),
    *("selfLink", "uid"),
)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
#: Label of objects that the control plane creates for a Gateway.
_GATEWAY_LABEL = "gateway.networking.k8s.io/gateway-name"
_INGRESS_API, _CLASS_KIND = "networking.k8s.io/v1", "IngressClass"


def build_resource_name(kind: str) -> str:
    """Return a kind as the API's paths and RBAC write it: `VirtualService` -> `virtualservices`."""
    name = kind.lower()
    if name.endswith("try"):
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith("ss") else f"{name}s"


@dataclass(frozen=True)
class LiveSource:
    """Namespaces of a cluster, as `path` names them.

    `context` is one of the kubeconfig, empty for the current one.
    """

    path: str
    context: str
    namespaces: tuple[str, ...]


def is_live(path: str) -> bool:
    """Say whether a path means namespaces of a cluster, not a file (a file is `./cluster:...`)."""
    return path.startswith(PREFIX)


def parse_source(path: str) -> LiveSource:
    """Parse `cluster:[CONTEXT/]NAMESPACE[,NAMESPACE]`.

    A context may contain slashes, a namespace none. Raises UsageError without a namespace.
    """
    context, _, names = path.removeprefix(PREFIX).rpartition("/")
    namespaces = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if not namespaces:
        raise UsageError(f"{path}: expected cluster:[CONTEXT/]NAMESPACE[,NAMESPACE]")
    return LiveSource(path, context, namespaces)


def read_documents(
    paths: Iterable[str], cluster_options: ClusterOptions | None = None
) -> list[Document]:
    """Return the objects of live namespaces.

    `cluster_options` say which cluster where a path does not. Raises as `read_texts` does.
    """
    return [
        document
        for file, text in read_texts(paths, cluster_options).items()
        for document in parse(text, file)
    ]


def read_texts(
    paths: Iterable[str], cluster_options: ClusterOptions | None = None
) -> dict[str, str]:
    """Return name of an object (`cluster:CONTEXT/NAMESPACE Kind/name`) -> its YAML.

    Raises UsageError for an unknown context or namespace, NotReady when the cluster does not
    respond or forbids it, BadRules for a namespace without objects to read.
    """
    paths = list(paths)
    if not paths:
        return {}
    import tempfile

    from meshproof.mesh.protocol import ClusterOptions

    options = cluster_options or ClusterOptions()
    texts: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="meshproof-") as folder:
        for path in paths:
            texts.update(_read_source(parse_source(path), options, Path(folder)))
    return texts


def _read_source(source: LiveSource, options: ClusterOptions, folder: Path) -> dict[str, str]:
    """Return name -> YAML for all namespaces of one source; `folder` holds temporary files."""
    from dataclasses import replace

    from meshproof.mesh.cluster.api.client import Kube

    texts: dict[str, str] = {}
    source_options = replace(options, context=source.context or options.context)
    with ExitStack() as stack:
        kube = stack.enter_context(Kube.connected(source_options, folder))
        for namespace in source.namespaces:
            before = len(texts)
            for body in iter_objects(kube, namespace):
                metadata = body["metadata"]
                within = namespace if metadata.get("namespace") else ""
                name = f"{_build_name_prefix(kube)}{within} {body['kind']}/{metadata['name']}"
                if name in texts and within:  # a Gateway of Istio and one of Gateway API
                    name = f"{name} ({body['apiVersion']})"
                texts[name] = _dump_yaml(body)
            if len(texts) == before:
                raise _explain_empty_namespace(kube, source, namespace)
    return texts


def _build_name_prefix(kube: Kube) -> str:
    """Return `cluster:CONTEXT/`; without the context for the cluster that this process runs in."""
    return f"{PREFIX}{kube.context}/" if kube.context else PREFIX


def iter_objects(kube: Kube, namespace: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a namespace that routing depends on, as their authors wrote them.

    Objects that the control plane created and Ingresses of other controllers are left out. The
    IngressClasses that make an Ingress Istio's follow, though they belong to the whole cluster.
    Raises NotReady if reading such a class is forbidden.
    """
    classes: dict[str, dict[str, Any]] = {}
    for group, kind, versions in KINDS:
        names = [f"{group}/{version}" if group else version for version in versions]
        served = next((name for name in names if kube.has_kind(name, kind)), None)
        for body in kube.list(served, kind, namespace) if served else ():
            if kind == "Ingress" and not _is_served_by_istio(kube, body, classes):
                continue
            if not _is_from_control_plane(body, kind):
                yield _strip_server_fields({**body, "apiVersion": served, "kind": kind})
    for body in classes.values():
        yield _strip_server_fields({**body, "apiVersion": _INGRESS_API, "kind": _CLASS_KIND})


def _is_from_control_plane(body: dict[str, Any], kind: str) -> bool:
    """Say whether the control plane created an object."""
    labels = body["metadata"].get("labels") or {}
    return kind in ("Service", "Deployment") and _GATEWAY_LABEL in labels


def _is_served_by_istio(
    kube: Kube, ingress: dict[str, Any], classes: dict[str, dict[str, Any]]
) -> bool:
    """Say whether Istio serves an Ingress; add the class that makes it so to `classes`."""
    annotation = (ingress["metadata"].get("annotations") or {}).get(INGRESS_ANNOTATION)
    name = ingress["spec"].get("ingressClassName")
    if annotation is not None or name is None:
        return bool(annotation == INGRESS_CLASS)
    ingress_class = classes.get(name) or _get_ingress_class(kube, name)
    if ingress_class is None:
        return bool(name == INGRESS_CLASS)
    if ingress_class["spec"].get("controller") != INGRESS_CONTROLLER:
        return False
    classes[name] = ingress_class
    return True


def _get_ingress_class(kube: Kube, name: str) -> dict[str, Any] | None:
    """Return an IngressClass, None if there is none.

    None also where reading the class with Istio's own name is forbidden.
    """
    try:
        return kube.get(_INGRESS_API, _CLASS_KIND, name)
    except NotReady:
        if name != INGRESS_CLASS:
            raise
        return None


def _strip_server_fields(body: dict[str, Any]) -> dict[str, Any]:
    """Return an object without the fields that the server sets."""
    metadata = {key: value for key, value in body["metadata"].items() if key not in _SET_BY_SERVER}
    annotations = {key: value for key, value in (metadata.pop("annotations", None) or {}).items()}
    annotations.pop(_LAST_APPLIED, None)
    if annotations:
        metadata["annotations"] = annotations
    head = {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": metadata}
    content = {key: value for key, value in body.items() if key not in (*head, "status")}
    template = (content.get("spec") or {}).get("template")
    if isinstance(template, dict):  # `creationTimestamp: null` of a pod's template
        (template.get("metadata") or {}).pop("creationTimestamp", None)
    return {**head, **content}


def _dump_yaml(body: dict[str, Any]) -> str:
    """Return an object as YAML, keys in their order."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(body, Dumper=dumper, sort_keys=False, allow_unicode=True, width=1000))


def _explain_empty_namespace(kube: Kube, source: LiveSource, namespace: str) -> Exception:
    """Return the error for a namespace without objects: it may not even exist."""
    namespaces: list[str] = []
    try:
        if kube.get("v1", "Namespace", namespace) is None:
            namespaces = [str(body["metadata"]["name"]) for body in kube.list("v1", "Namespace")]
            return UsageError(
                f"{source.path}: {kube.cluster_name} has no namespace {namespace}"
                f"{suggest_nearest(namespace, namespaces)}"
            )
    except NotReady:  # not allowed to list namespaces: the general message must do
        pass
    kinds = ", ".join(dict.fromkeys(kind for _, kind, _ in KINDS))
    return BadRules(
        f"{source.path}: nothing to check in namespace {namespace} of {kube.cluster_name} "
        f"(looked for: {kinds})"
    )
