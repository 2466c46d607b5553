"""All kinds of a cluster, and what of them carries a label: of each object its metadata alone.

Source: Kubernetes docs, "Kubernetes API Concepts", sections "Aggregated discovery" and "Receiving
resources as Tables" (PartialObjectMetadata, which holds no value of a Secret).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import quote

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.api.client import Kube, Object
from meshproof.mesh.cluster.api.object_ref import ObjectRef

_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_DISCOVERY_BETA = _DISCOVERY.replace("v=v2", "v=v2beta1")
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_PAGE_SIZE = 500
#: How many requests are under way at a time.
AT_ONCE = 8
#: What tells of other objects, by itself and for a while: nothing that anybody would delete.
_SHORT_LIVED = ("Event", "Lease")


@dataclass(frozen=True, order=True)
class Kind:
    """A kind of objects: `path` is where the API lists those of the whole cluster."""

    api_version: str
    kind: str
    path: str
    is_namespaced: bool

    @property
    def group(self) -> str:
        """The group of its API, empty for the core."""
        return self.api_version.rpartition("/")[0]

    def path_in(self, namespace: str) -> str:
        """Return where the API lists the objects in a namespace; empty: of the whole cluster."""
        if not namespace or not self.is_namespaced:
            return self.path
        head, _, plural = self.path.rpartition("/")
        return f"{head}/namespaces/{quote(namespace)}/{plural}"


@dataclass(frozen=True)
class LiveObject:
    """An object of a cluster, as its metadata tells it."""

    kind: Kind
    metadata: Object

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.metadata["name"])

    @property
    def namespace(self) -> str:
        """Its namespace; empty for an object of the whole cluster."""
        return str(self.metadata.get("namespace", ""))

    @property
    def uid(self) -> str:
        """What no other object ever has, of the same name neither."""
        return str(self.metadata["uid"])

    @property
    def ref(self) -> ObjectRef:
        """What tells it from any other, also from one that takes its place."""
        return ObjectRef(self.kind.api_version, self.kind.kind, self.namespace, self.name, self.uid)

    def __str__(self) -> str:
        return str(self.ref)


def discover_kinds(kube: Kube) -> list[Kind]:
    """Return every kind whose objects can be listed and deleted, each in one version."""
    kinds: dict[tuple[str, str], Kind] = {}
    for kind in (*_read_kinds(kube, "/api"), *_read_kinds(kube, "/apis")):
        kinds.setdefault((kind.group, kind.kind), kind)  # the preferred version comes first
    return sorted(kinds.values())


def _read_kinds(kube: Kube, path: str) -> Iterator[Kind]:
    response = kube.read(path, f"{_DISCOVERY},{_DISCOVERY_BETA},application/json")
    if "items" not in response:  # before Kubernetes 1.27
        yield from _read_kinds_by_version(kube, path, response)
        return
    for group in response["items"]:
        group_name = (group.get("metadata") or {}).get("name", "")
        for version in group["versions"]:
            api_version = (
                f"{group_name}/{version['version']}" if group_name else str(version["version"])
            )
            for resource in version.get("resources") or ():
                if _is_deletable(
                    kind := str((resource.get("responseKind") or {}).get("kind")), resource["verbs"]
                ):
                    list_path = f"{path}/{api_version}/{resource['resource']}"
                    yield Kind(api_version, kind, list_path, resource["scope"] == "Namespaced")


def _read_kinds_by_version(kube: Kube, path: str, document: Object) -> Iterator[Kind]:
    versions = list(document.get("versions") or ())
    for group in document.get("groups") or ():
        group_versions = [version["groupVersion"] for version in group["versions"]]
        versions += sorted(
            group_versions, key=lambda version: version != group["preferredVersion"]["groupVersion"]
        )
    for api_version in versions:
        for resource in kube.read(f"{path}/{api_version}", "application/json")["resources"]:
            if "/" not in resource["name"] and _is_deletable(resource["kind"], resource["verbs"]):
                list_path = f"{path}/{api_version}/{resource['name']}"
                yield Kind(
                    str(api_version), str(resource["kind"]), list_path, bool(resource["namespaced"])
                )


def _is_deletable(kind: str, verbs: Iterable[str]) -> bool:
    return {"list", "delete"} <= set(verbs) and kind not in _SHORT_LIVED


def list_objects(
    kube: Kube,
    kinds: Sequence[Kind],
    labels: str = "",
    namespace: str = "",
    patience: float = 0,
) -> tuple[list[LiveObject], dict[Kind, str]]:
    """Return what there is of some kinds, and which could not be looked at, each in words.

    `labels` as in `a=b,c`; `namespace` empty: in all. A kind that is of the whole cluster is left
    out where a namespace is named. A kind that is not answered for `patience` seconds (0:
    `timeouts.API_START`) cannot be looked at: that may be its own server, not the cluster's.
    """
    listed_kinds = [kind for kind in kinds if kind.is_namespaced or not namespace]

    def read_kind(kind: Kind) -> tuple[list[LiveObject], str]:
        try:
            return list(_read_pages(kube, kind, labels, namespace)), ""
        except NotReady as error:
            return [], str(error)

    with kube.retrying_for(patience or timeouts.API_START), ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(read_kind, listed_kinds))
    by_uid = {
        live_object.uid: live_object for live_objects, _ in results for live_object in live_objects
    }
    unseen = {
        kind: reason for kind, (_, reason) in zip(listed_kinds, results, strict=True) if reason
    }
    return list(by_uid.values()), unseen


def _read_pages(kube: Kube, kind: Kind, labels: str, namespace: str) -> Iterator[LiveObject]:
    continue_token = ""
    while True:
        query = [
            ("limit", str(_PAGE_SIZE)),
            ("labelSelector", labels),
            ("continue", continue_token),
        ]
        page = kube.read(kind.path_in(namespace), _METADATA, [pair for pair in query if pair[1]])
        for entry in page["items"] or ():
            yield LiveObject(kind, entry["metadata"])
        continue_token = page["metadata"].get("continue", "")
        if not continue_token:
            return
