"""Rules of a live namespace: `cluster:[CONTEXT/]NAMESPACE[,NAMESPACE]` in place of a path.

Read only: the objects are listed, nothing is changed. Each becomes the YAML that it is without what
the server sets, and its values stand at `cluster:CONTEXT/NAMESPACE Kind/name` and a line of that.
Sources: Kubernetes API reference, ObjectMeta; Istio docs, "Configuration", Gateway API docs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshproof.base.errors import BadRules, NotReady, UsageError, nearest
from meshproof.base.names import INGRESS_ANNOTATION, INGRESS_CLASS, INGRESS_CONTROLLER
from meshproof.documents.manifest import Document, parse

if TYPE_CHECKING:
    from meshproof.mesh.cluster.api.client import Kube
    from meshproof.mesh.protocol import ClusterOptions

PREFIX = "cluster:"
_ISTIO = ("v1", "v1beta1", "v1alpha3")
#: Group, kind and the versions of which the first that the cluster serves is asked for.
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
#: What the server or a client sets beside what its author wrote.
_SET_BY_SERVER = (
    *("creationTimestamp", "generation", "managedFields", "ownerReferences", "resourceVersion"),
    *("selfLink", "uid"),
)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
#: Label of what the control plane makes for a Gateway: nobody wrote it.
_OF_GATEWAY = "gateway.networking.k8s.io/gateway-name"
_INGRESSES, _CLASS = "networking.k8s.io/v1", "IngressClass"


def resource(kind: str) -> str:
    """Return a kind as the API's paths and RBAC have it: `VirtualService` -> `virtualservices`."""
    name = kind.lower()
    if name.endswith("try"):
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith("ss") else f"{name}s"


@dataclass(frozen=True)
class Source:
    """Namespaces of a cluster; `context` as in a kubeconfig, empty for the current one."""

    words: str
    context: str
    namespaces: tuple[str, ...]


def is_live(path: str) -> bool:
    """Say whether a path is no file but namespaces of a cluster (a file is `./cluster:...`)."""
    return path.startswith(PREFIX)


def source(path: str) -> Source:
    """Return what `cluster:[CONTEXT/]NAMESPACE[,NAMESPACE]` says.

    A context may hold slashes itself, a namespace none. Raises UsageError without a namespace.
    """
    context, _, names = path.removeprefix(PREFIX).rpartition("/")
    found = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if not found:
        raise UsageError(f"{path}: expected cluster:[CONTEXT/]NAMESPACE[,NAMESPACE]")
    return Source(path, context, found)


def read(paths: Iterable[str], reach: ClusterOptions | None = None) -> list[Document]:
    """Return the objects of live namespaces. `reach` says which cluster where a path does not.

    Raises as `texts` does.
    """
    return [one for file, text in texts(paths, reach).items() for one in parse(text, file)]


def texts(paths: Iterable[str], reach: ClusterOptions | None = None) -> dict[str, str]:
    """Return name of an object (`cluster:CONTEXT/NAMESPACE Kind/name`) -> its YAML.

    Raises UsageError for a context or a namespace that is not there, NotReady when the cluster
    does not answer or forbids it, BadRules for a namespace that holds nothing to read.
    """
    import tempfile

    from meshproof.mesh.protocol import ClusterOptions

    options = reach or ClusterOptions()
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="meshproof-") as folder:
        for path in paths:
            found.update(_texts(source(path), options, Path(folder)))
    return found


def _texts(chosen: Source, options: ClusterOptions, folder: Path) -> dict[str, str]:
    from dataclasses import replace

    from meshproof.mesh.cluster.api.client import Kube

    found: dict[str, str] = {}
    reach = replace(options, context=chosen.context or options.context)
    with ExitStack() as stack:
        kube = stack.enter_context(Kube.connected(reach, folder))
        for namespace in chosen.namespaces:
            before = len(found)
            for body in objects(kube, namespace):
                metadata = body["metadata"]
                within = namespace if metadata.get("namespace") else ""
                place = f"{_place(kube)}{within} {body['kind']}/{metadata['name']}"
                if place in found and within:  # a Gateway of Istio and one of Gateway API
                    place = f"{place} ({body['apiVersion']})"
                found[place] = _yaml(body)
            if len(found) == before:
                raise _nothing(kube, chosen, namespace)
    return found


def _place(kube: Kube) -> str:
    """Return `cluster:CONTEXT/`; without the context for the cluster that this process runs in."""
    named, _, context = kube.cluster_name.partition("context ")
    return PREFIX if named else f"{PREFIX}{context}/"


def objects(kube: Kube, namespace: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a namespace that say something of routing, as their authors wrote them.

    Without those that the control plane has made, and without Ingresses of somebody else; with the
    IngressClasses that make an Ingress Istio's, which are of the whole cluster. Raises NotReady
    where it is not allowed to look at a class.
    """
    classes: dict[str, dict[str, Any]] = {}
    for group, kind, versions in KINDS:
        names = [f"{group}/{version}" if group else version for version in versions]
        served = next((name for name in names if kube.has_kind(name, kind)), None)
        for body in kube.list(served, kind, namespace) if served else ():
            if kind == "Ingress" and not _is_istios(kube, body, classes):
                continue
            if not _is_made(body, kind):
                yield _written({**body, "apiVersion": served, "kind": kind})
    for body in classes.values():
        yield _written({**body, "apiVersion": _INGRESSES, "kind": _CLASS})


def _is_made(body: dict[str, Any], kind: str) -> bool:
    """Say whether the control plane has made an object."""
    labels = body["metadata"].get("labels") or {}
    return kind in ("Service", "Deployment") and _OF_GATEWAY in labels


def _is_istios(kube: Kube, ingress: dict[str, Any], classes: dict[str, dict[str, Any]]) -> bool:
    """Say whether Istio serves an Ingress; add the class that makes it so to `classes`."""
    said = (ingress["metadata"].get("annotations") or {}).get(INGRESS_ANNOTATION)
    name = ingress["spec"].get("ingressClassName")
    if said is not None or name is None:
        return bool(said == INGRESS_CLASS)
    found = classes.get(name) or _ingress_class(kube, name)
    if found is None:
        return bool(name == INGRESS_CLASS)
    if found["spec"].get("controller") != INGRESS_CONTROLLER:
        return False
    classes[name] = found
    return True


def _ingress_class(kube: Kube, name: str) -> dict[str, Any] | None:
    """Return an IngressClass, None where there is none, or none may be seen of Istio's name."""
    try:
        return kube.get(_INGRESSES, _CLASS, name)
    except NotReady:
        if name != INGRESS_CLASS:
            raise
        return None


def _written(body: dict[str, Any]) -> dict[str, Any]:
    """Return an object without what the server has set."""
    metadata = {key: one for key, one in body["metadata"].items() if key not in _SET_BY_SERVER}
    notes = {key: one for key, one in (metadata.pop("annotations", None) or {}).items()}
    notes.pop(_LAST_APPLIED, None)
    if notes:
        metadata["annotations"] = notes
    head = {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": metadata}
    rest = {key: one for key, one in body.items() if key not in (*head, "status")}
    template = (rest.get("spec") or {}).get("template")
    if isinstance(template, dict):  # `creationTimestamp: null` of a pod's template
        (template.get("metadata") or {}).pop("creationTimestamp", None)
    return {**head, **rest}


def _yaml(body: dict[str, Any]) -> str:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(body, Dumper=dumper, sort_keys=False, allow_unicode=True, width=1000))


def _nothing(kube: Kube, chosen: Source, namespace: str) -> Exception:
    """Return the error for a namespace in which nothing was found: it may not be there at all."""
    known: list[str] = []
    try:
        if kube.get("v1", "Namespace", namespace) is None:
            known = [str(one["metadata"]["name"]) for one in kube.list("v1", "Namespace")]
            return UsageError(
                f"{chosen.words}: {kube.cluster_name} has no namespace {namespace}"
                f"{nearest(namespace, known)}"
            )
    except NotReady:  # not allowed to look: then it is said as far as it is known
        pass
    kinds = ", ".join(dict.fromkeys(kind for _, kind, _ in KINDS))
    return BadRules(
        f"{chosen.words}: nothing to check in namespace {namespace} of {kube.cluster_name} "
        f"(looked for: {kinds})"
    )
