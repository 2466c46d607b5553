"""What tells an object of a cluster from any other, and the waiting until it is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from meshproof.base import timeouts
from meshproof.base.waiting import wait_for
from meshproof.mesh.cluster.api.client import Kube, Object


class ObjectRef(NamedTuple):
    """An object by its type and name; with `uid` no other that has taken its place.

    `namespace` is empty for an object of the whole cluster. As text: `Kind namespace/name`.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str = ""

    @classmethod
    def of(cls, body: Object) -> ObjectRef:
        """Return the key of an object as it is written in a file."""
        metadata = body["metadata"]
        namespace = metadata.get("namespace") or ""
        return cls(body["apiVersion"], body["kind"], namespace, metadata["name"])

    @property
    def get_args(self) -> tuple[str, str, str, str]:
        """Type and name in the order in which a `Kube` is asked for the object."""
        return self.api_version, self.kind, self.name, self.namespace

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}{'/' if self.namespace else ''}{self.name}"


def exists(kube: Kube, ref: ObjectRef) -> bool:
    """Say whether an object is there, also while it is being deleted."""
    body = kube.get(*ref.get_args)
    return body is not None and (not ref.uid or body["metadata"]["uid"] == ref.uid)


def wait_deleted(
    kube: Kube, refs: Iterable[ObjectRef], seconds: float, explain: Callable[[ObjectRef], str]
) -> None:
    """Wait until objects are gone. Raises NotReady with what `explain` says of each that is not."""
    remaining = list(refs)

    def poll() -> bool | None:
        remaining[:] = [ref for ref in remaining if exists(kube, ref)]
        return None if remaining else True

    wait_for(poll, seconds, lambda: "\n".join(map(explain, remaining)), timeouts.POLL_SLOW)
