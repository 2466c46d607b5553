"""The record of an installation, written to the cluster beforehand so that a cleanup can read it.

It is a ConfigMap in its own namespace with the labels of a run. The next run finds it even after
`kill -9`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from meshproof.base import timeouts
from meshproof.base.waiting import wait_for
from meshproof.mesh.cluster.api.client import Kube, Object
from meshproof.mesh.cluster.api.object_ref import ObjectRef, exists, wait_deleted
from meshproof.mesh.cluster.istio.istio import ISTIOD_LABEL
from meshproof.mesh.cluster.istio.revisions import REVISION_LABEL
from meshproof.mesh.cluster.run import namespaces

_NAME = "installed"
_SUFFIX = "-istio"
_SECURITY = "security.istio.io/v1"
_WEBHOOKS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
_ADMISSION = "admissionregistration.k8s.io/v1"
#: How istiod elects a leader (pilot/pkg/leaderelection), what it keeps in every namespace, its key.
_ELECTION_KINDS = (("v1", "ConfigMap"), ("coordination.k8s.io/v1", "Lease"))
_IN_EVERY_NAMESPACE = ("istio-ca-root-cert", "istio-ca-crl")
_CA_SECRET = "istio-ca-secret"
_GATEWAY_API = "gateway.networking.k8s.io/v1"


@dataclass(frozen=True)
class Record:
    """An installation: its run, its revision, the namespace of its istiod, its objects.

    The fields are the keys of the stored JSON. `own` are objects with the revision in their name or
    label. `shared` (definitions, the reader's account) are installed only where there was no Istio.
    `made` says whether the namespace was created, too. `before` are objects that look as if this
    istiod had written them but existed before; None when another istiod was there, whose objects
    they are.
    """

    run: str
    revision: str
    namespace: str
    own: tuple[ObjectRef, ...]
    shared: tuple[ObjectRef, ...]
    made: bool
    before: tuple[ObjectRef, ...] | None = None


def record_namespace(run: str) -> str:
    """Return the namespace of a run's record."""
    return f"meshproof-{run}{_SUFFIX}"


def policy_ref(revision: str, namespace: str = "") -> ObjectRef:
    """Return the reference to the mesh-wide policy of a revision."""
    return ObjectRef(_SECURITY, "PeerAuthentication", namespace, f"meshproof-{revision}")


def write_record(kube: Kube, record: Record, labels: dict[str, str], folder: Path) -> None:
    """Store a record; `folder` is the folder that its run has locked."""
    namespaces.create(kube, [record_namespace(record.run)], labels, folder)
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": _NAME,
                "namespace": record_namespace(record.run),
                "labels": labels,
            },
            "data": {"record": json.dumps(asdict(record))},
        }
    )


def read_records(kube: Kube, names: Iterable[str]) -> Iterator[Record]:
    """Yield the records in the namespaces of a run, at most one for each."""
    for name in (name for name in names if name.endswith(_SUFFIX)):
        config_map = kube.get("v1", "ConfigMap", _NAME, name)
        if config_map is not None and "record" in (config_map.get("data") or {}):
            yield _parse_record(json.loads(config_map["data"]["record"]))


def _parse_record(fields: dict[str, Any]) -> Record:
    """Return a record from its JSON."""
    ref_fields = [name for name in ("own", "shared", "before") if fields.get(name) is not None]
    refs = {name: tuple(ObjectRef(*ref) for ref in fields[name]) for name in ref_fields}
    return Record(**{**fields, **refs})


def remove_installation(kube: Kube, record: Record) -> None:
    """Delete an installation and wait until it is gone; shared objects only if no istiod remains.

    Raises NotReady naming what remains.
    """
    hooks = [ref for ref in record.own if ref.kind in _WEBHOOKS]
    other_refs = [ref for ref in record.own if ref.kind not in _WEBHOOKS]
    # Webhooks first: without their istiod they would refuse every request.
    _delete_all(
        kube,
        [
            policy_ref(record.revision, record.namespace),
            *hooks,
            *_list_tag_webhooks(kube, record),
            *other_refs,
        ],
    )
    _wait_pods_ended(kube, record)
    _delete_all(kube, list(_list_election_objects(kube, record)))
    if not kube.list("apps/v1", "Deployment", labels=ISTIOD_LABEL):
        _delete_all(kube, [*record.shared, *_list_new_istiod_objects(kube, record)])
        if record.made:
            namespaces.delete(kube, [record.namespace])


def _delete_all(kube: Kube, refs: list[ObjectRef]) -> None:
    """Delete objects of known kinds and wait until they are gone."""
    refs = [ref for ref in refs if kube.has_kind(ref.api_version, ref.kind)]
    for ref in refs:
        kube.delete(*ref.get_args)
    seconds = timeouts.ISTIO_END
    wait_deleted(kube, refs, seconds, lambda ref: f"{ref} is not gone after {seconds:.0f} s")


def _list_tag_webhooks(kube: Kube, record: Record) -> Iterator[ObjectRef]:
    """Yield the webhooks that istioctl adds when it makes a revision the default."""
    for kind in _WEBHOOKS:
        for webhook in kube.list(_ADMISSION, kind, labels=f"{REVISION_LABEL}={record.revision}"):
            yield ObjectRef(_ADMISSION, kind, "", webhook["metadata"]["name"])


def _wait_pods_ended(kube: Kube, record: Record) -> None:
    """Wait until the revision's istiod and gateways have no pod, as a pod would write again."""
    labels = f"{REVISION_LABEL}={record.revision}"
    remaining: list[str] = []

    def poll() -> bool | None:
        pods = kube.list("v1", "Pod", record.namespace, labels)
        remaining[:] = [pod["metadata"]["name"] for pod in pods]
        return None if remaining else True

    def explain() -> str:
        return f"pods of revision {record.revision} do not end: {', '.join(remaining)}"

    wait_for(poll, timeouts.ISTIO_END, explain, timeouts.POLL_SLOW)


def _list_election_objects(kube: Kube, record: Record) -> Iterator[ObjectRef]:
    """Yield the objects by which istiod elects a leader of its revision.

    Source: pilot/pkg/leaderelection.
    """
    for api_version, kind in _ELECTION_KINDS:
        for body in kube.list(api_version, kind, record.namespace):
            name = body["metadata"]["name"]
            if name.startswith("istio-") and name.endswith(f"-{record.revision}"):
                yield ObjectRef(api_version, kind, record.namespace, name)


def _list_new_istiod_objects(kube: Kube, record: Record) -> Iterator[ObjectRef]:
    """Yield the objects that the record's istiod has written by itself."""
    if record.before is not None:
        existing = set(record.before)
        yield from (
            ref for ref in list_istiod_objects(kube, record.namespace) if ref not in existing
        )


def list_istiod_objects(kube: Kube, namespace: str) -> Iterator[ObjectRef]:
    """Yield the objects that an istiod writes by itself and leaves when it ends.

    In all namespaces: its root certificate and a list of revoked ones (namespacecontroller.go). In
    its own: the signing key, elections, and GatewayClasses. Skips objects that somebody else has
    written, too (managedFields, in Kubernetes docs, "Server-Side Apply").
    """
    for body in kube.list("v1", "ConfigMap", labels="istio.io/config=true"):
        if body["metadata"]["name"] in _IN_EVERY_NAMESPACE:
            yield ObjectRef.of(body)
    for api_version, kind in _ELECTION_KINDS:
        for body in kube.list(api_version, kind, namespace):
            name = body["metadata"]["name"]
            if (
                name.startswith("istio-")
                and name not in _IN_EVERY_NAMESPACE
                and _is_written_by_istiod(body)
            ):
                yield ObjectRef.of(body)
    if exists(kube, secret := ObjectRef("v1", "Secret", namespace, _CA_SECRET)):
        yield secret
    if kube.has_kind(_GATEWAY_API, "GatewayClass"):
        for body in kube.list(_GATEWAY_API, "GatewayClass"):
            if body["spec"]["controllerName"].startswith("istio.io/") and _is_written_by_istiod(
                body
            ):
                yield ObjectRef.of(body)


def _is_written_by_istiod(body: Object) -> bool:
    """Say whether only istiod, the program `pilot-discovery`, has written an object."""
    managers = {field.get("manager") for field in body["metadata"].get("managedFields") or ()}
    return managers == {"pilot-discovery"}
