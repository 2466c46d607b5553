"""Discovers every kind of a cluster, and lists the metadata of objects that carry a label.

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
#: Concurrent requests.
AT_ONCE = 8
#: Kinds that expire by themselves, so nobody deletes them.
_SHORT_LIVED = ("Event", "Lease")


@dataclass(frozen=True, order=True)
class Kind:
    """A kind of objects; `path` is where the API lists those of the whole cluster."""

    api_version: str
    kind: str
    path: str
    is_namespaced: bool

    @property
    def group(self) -> str:
        """The group of its API, empty for the core."""
        return self.api_version.rpartition("/")[0]

    def path_in(self, namespace: str) -> str:
        """Return the API path of the objects in a namespace; empty means the whole cluster."""
        if not namespace or not self.is_namespaced:
            return self.path
        head, _, plural = self.path.rpartition("/")
        return f"{head}/namespaces/{quote(namespace)}/{plural}"


@dataclass(frozen=True)
class LiveObject:
    """An object of a cluster, known by its metadata only."""

    kind: Kind
    metadata: Object

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.metadata["name"])

    @property
    def namespace(self) -> str:
        """Its namespace; empty for a cluster-wide object."""
        return str(self.metadata.get("namespace", ""))

    @property
    def uid(self) -> str:
        """Its unique id, which a later object of the same name does not have."""
        return str(self.metadata["uid"])

    @property
    def ref(self) -> ObjectRef:
        """Its reference, with the uid."""
        return ObjectRef(self.kind.api_version, self.kind.kind, self.namespace, self.name, self.uid)

    def __str__(self) -> str:
        return str(self.ref)


def discover_kinds(kube: Kube) -> list[Kind]:
    """Return every kind that can be listed and deleted, each in its preferred version."""
    kinds: dict[tuple[str, str], Kind] = {}
    for kind in (*_read_kinds(kube, "/api"), *_read_kinds(kube, "/apis")):
        kinds.setdefault((kind.group, kind.kind), kind)  # the preferred version comes first
    return sorted(kinds.values())


def _read_kinds(kube: Kube, path: str) -> Iterator[Kind]:
    """Yield the kinds below an API path, in one request where the cluster can do that."""
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
    """Yield the kinds below an API path, with one request for each version."""
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
    """Say whether objects of a kind can be listed and deleted, and do not expire by themselves."""
    return {"list", "delete"} <= set(verbs) and kind not in _SHORT_LIVED


def list_objects(
    kube: Kube,
    kinds: Sequence[Kind],
    labels: str = "",
    namespace: str = "",
    patience: float = 0,
) -> tuple[list[LiveObject], dict[Kind, str]]:
    """Return the objects of some kinds, and the reason for each kind that could not be listed.

    `labels` is a selector such as `a=b,c`. With a `namespace`, cluster-wide kinds are skipped. A
    kind counts as unlisted after `patience` seconds without an answer (0: `timeouts.API_START`):
    its own API server may be down while the cluster's is not.
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
    """Yield the objects of one kind, page by page."""
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
