"""Reads Sidecars: which hosts the proxies of a namespace see.

Source: Istio reference, Sidecar.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from meshproof.base.errors import BadRules
from meshproof.documents.manifest import Document, Value
from meshproof.inventory.problems import Problems

KIND = "Sidecar"


@dataclass(frozen=True, eq=False)
class Sidecar:
    """A Sidecar with the hosts of its egress, each `namespace/host`.

    `egress` is None without any: then the proxies see every host.
    """

    document: Document
    egress: Value | None
    visible_hosts: tuple[str, ...]
    problems: tuple[BadRules, ...] = ()

    def shows(self, host: str, host_namespace: str) -> bool:
        """Say whether the proxies of the Sidecar's namespace see a full host."""
        return self.egress is None or any(
            self._entry_shows(entry, host, host_namespace) for entry in self.visible_hosts
        )

    def _entry_shows(self, entry: str, host: str, host_namespace: str) -> bool:
        """Say whether an entry of the egress, `namespace/host`, makes a host visible."""
        namespace, _, name = entry.rpartition("/")
        shows_namespace = namespace in ("", "*", host_namespace) or (
            namespace == "." and host_namespace == self.document.namespace
        )
        return shows_namespace and (
            name in ("*", host) or (name[:1] == "*" and host.endswith(name[1:]))
        )


def read_sidecars(documents: Iterable[Document]) -> tuple[Sidecar, ...]:
    """Return the Sidecars of documents of that kind, with problems instead of raising."""
    return tuple(map(_read_sidecar, documents))


def _read_sidecar(document: Document) -> Sidecar:
    problems = Problems()
    egress: Value | None = None
    hosts: list[str] = []
    with problems:
        spec = document.root.get("spec")
        egress = spec.get("egress") if spec is not None else None
        for listener in egress.items() if egress is not None else ():
            hosts += [host.text() for host in listener.need("hosts").items()]
    return Sidecar(document, egress, tuple(hosts), tuple(problems))
