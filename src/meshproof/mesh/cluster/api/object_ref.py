"""The reference to one object of a cluster, and waiting until the object is deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from meshproof.base import timeouts
from meshproof.base.waiting import wait_for
from meshproof.mesh.cluster.api.client import Kube, Object


class ObjectRef(NamedTuple):
    """An object by its type and name; with `uid`, not a later object of the same name.

    `namespace` is empty for a cluster-wide object. As text: `Kind namespace/name`.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str = ""

    @classmethod
    def of(cls, body: Object) -> ObjectRef:
        """Return the reference to an object given as a document."""
        metadata = body["metadata"]
        namespace = metadata.get("namespace") or ""
        return cls(body["apiVersion"], body["kind"], namespace, metadata["name"])

    @property
    def get_args(self) -> tuple[str, str, str, str]:
        """The arguments of `Kube.get` and `Kube.delete`: type, name, namespace."""
        return self.api_version, self.kind, self.name, self.namespace

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}{'/' if self.namespace else ''}{self.name}"


def exists(kube: Kube, ref: ObjectRef) -> bool:
    """Say whether an object exists; it does while it is being deleted."""
    body = kube.get(*ref.get_args)
    return body is not None and (not ref.uid or body["metadata"]["uid"] == ref.uid)


def wait_deleted(
    kube: Kube, refs: Iterable[ObjectRef], seconds: float, explain: Callable[[ObjectRef], str]
) -> None:
    """Wait until objects are deleted. Raises NotReady with `explain(ref)` for each that remains."""
    remaining = list(refs)

    def poll() -> bool | None:
        remaining[:] = [ref for ref in remaining if exists(kube, ref)]
        return None if remaining else True

    wait_for(poll, seconds, lambda: "\n".join(map(explain, remaining)), timeouts.POLL_SLOW)
