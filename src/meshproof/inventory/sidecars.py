"""Reads Sidecars: which services and rules the proxies of a namespace get.

Source: Istio reference, Sidecar (egress, workloadSelector, outboundTrafficPolicy).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from meshproof.base.errors import BadRules
from meshproof.base.names import Labels, sort_labels
from meshproof.documents.manifest import At, Document, Value
from meshproof.inventory.problems import Problems

KIND = "Sidecar"
#: Before a namespace: its hosts are left out, whatever else names them.
_EXCLUDED = "~"


@dataclass(frozen=True)
class Import:
    """An entry of an egress listener, `namespace/host`.

    `namespace` is as it is written: `.` is that of the caller, `*` any. With `is_excluded` (`~`)
    its hosts are left out.
    """

    namespace: str
    host: str
    is_excluded: bool = False


@dataclass(frozen=True)
class EgressListener:
    """A listener of a Sidecar: what calls of a port reach; a `port` of None takes all others."""

    port: int | None
    imports: tuple[Import, ...]


@dataclass(frozen=True, eq=False)
class Sidecar:
    """A Sidecar with its egress, at `at`; without any its proxies get everything.

    `selector` are the labels of its workloads, () for all of its namespace. With
    `is_registry_only` a call of an unknown host is refused, without it goes on as it is.
    """

    document: Document
    at: At
    listeners: tuple[EgressListener, ...] = ()
    selector: Labels = ()
    is_registry_only: bool = False
    problems: tuple[BadRules, ...] = ()


def read_sidecars(documents: Iterable[Document]) -> tuple[Sidecar, ...]:
    """Return the Sidecars of documents of that kind, with problems instead of raising.

    Those with a selector come first, then the oldest: the first that fits a workload holds.
    """
    sidecars = map(_read_sidecar, documents)
    return tuple(sorted(sidecars, key=lambda item: (not item.selector, item.document.created)))


def _read_sidecar(document: Document) -> Sidecar:
    problems = Problems()
    at, selector, is_registry_only = document.at, Labels(), False
    listeners: list[EgressListener] = []
    spec = document.root.get("spec")
    with problems:
        egress = spec.get("egress") if spec is not None else None
        if egress is not None:
            at = egress.at
            listeners += map(_read_listener, egress.items())
    with problems:
        chosen = spec.get("workloadSelector") if spec is not None else None
        labels = chosen.get("labels") if chosen is not None else None
        selector = sort_labels(labels.text_mapping()) if labels is not None else ()
    with problems:
        policy = spec.get("outboundTrafficPolicy") if spec is not None else None
        mode = policy.get("mode") if policy is not None else None
        is_registry_only = policy is not None and (mode is None or mode.text() == "REGISTRY_ONLY")
    return Sidecar(document, at, tuple(listeners), selector, is_registry_only, tuple(problems))


def _read_listener(value: Value) -> EgressListener:
    """Return an egress listener."""
    port = value.get("port")
    number = port.need("number").integer(0, 65535) if port is not None else 0
    return EgressListener(
        number or None, tuple(_read_import(host) for host in value.need("hosts").items())
    )


def _read_import(value: Value) -> Import:
    """Return an entry of an egress listener."""
    namespace, slash, host = value.text().partition("/")
    if not slash or not host or "/" in host:
        raise value.error("namespace/host")
    return Import(namespace.removeprefix(_EXCLUDED) or "*", host, namespace.startswith(_EXCLUDED))
