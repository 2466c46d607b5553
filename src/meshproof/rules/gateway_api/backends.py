"""Reads the backends of Gateway API rules, and the ReferenceGrants that allow them.

Source: Gateway API reference, BackendRef and ReferenceGrant.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from meshproof.base.errors import suggest_nearest
from meshproof.documents.manifest import Document, Value
from meshproof.documents.problems import CheckedDocument, read_each
from meshproof.rules.actions import UNCHANGED, Headers
from meshproof.rules.gateway_api.listeners import GROUP, ROUTE_KINDS
from meshproof.rules.gateway_api.written import read_backend
from meshproof.rules.model import Target
from meshproof.rules.written import WrittenActions, WrittenEntry

_MAX_WEIGHT = 1_000_000


@dataclass(frozen=True)
class ReferenceGrants:
    """Which routes may send to Services of another namespace.

    Each grant is (kind of route, its namespace, namespace of the Service, name of the Service). An
    empty name stands for all Services.
    """

    grants: frozenset[tuple[str, str, str, str]]

    @classmethod
    def from_documents(cls, documents: Iterable[CheckedDocument]) -> ReferenceGrants:
        """Return the grants of ReferenceGrants for routes to Services; others are ignored."""
        grants = read_each(documents, lambda checked: list(_read_grants(checked.document)))
        return cls(frozenset(itertools.chain.from_iterable(grants)))

    def allows(self, route: Document, namespace: str, name: str) -> bool:
        """Say whether a route may send to a Service."""
        route_key = (route.kind, route.namespace, namespace)
        return namespace == route.namespace or not self.grants.isdisjoint(
            {(*route_key, name), (*route_key, "")}
        )


def _read_grants(document: Document) -> Iterator[tuple[str, str, str, str]]:
    """Yield the grants of a ReferenceGrant for routes to Services."""
    service_names = []
    for target in document.spec.need("to").items():
        name = target.get("name")
        if (target.need("kind").text(), _read_group(target)) == ("Service", ""):
            service_names.append(name.text() if name else "")
    for source in document.spec.need("from").items():
        kind, namespace = source.need("kind").text(), source.need("namespace").non_empty_text()
        if kind in ROUTE_KINDS and _read_group(source) == GROUP:
            yield from ((kind, namespace, document.namespace, name) for name in service_names)


def _read_group(entry: Value) -> str:
    """Return the API group of a reference, "" for Kubernetes' core objects."""
    group = entry.get("group")
    return group.text() if group is not None else ""


@dataclass(frozen=True)
class BackendReader:
    """Reads the backends of a route. With `grants` a backend in another namespace needs a grant.

    Routes of the mesh need none (istiod): `grants` is None.
    """

    route: Document
    grants: ReferenceGrants | None

    def read_split(
        self, written: WrittenActions, read_changes: Callable[[WrittenEntry], Headers]
    ) -> tuple[Target, ...]:
        """Return the split of a rule; `read_changes` reads the filters of a backend.

        Raises BadRules with file and line for unsupported values.
        """
        targets = []
        for entry in written.split.entries if written.split is not None else ():
            share = entry.weight.integer(0, _MAX_WEIGHT) if entry.weight else 1
            targets.append(self._read_target(entry.value, share, read_changes(entry)))
        return tuple(targets)

    def read_mirror_target(self, entry: Value) -> Target:
        """Return the backend of a RequestMirror."""
        return self._read_target(entry, 100, UNCHANGED)

    def _read_target(self, entry: Value, weight: int, headers: Headers) -> Target:
        """Return the target of a backendRef. Raises BadRules for another kind, or no grant."""
        kind, name = entry.get("kind"), entry.need("name")
        kind_name = kind.text() if kind else "Service"
        if (kind_name, _read_group(entry)) != ("Service", ""):
            hint = suggest_nearest(kind_name, ("Service",)) if kind_name != "Service" else ""
            raise (kind or entry).at.unsupported(
                f"only a Service as backend is supported yet, found a {kind_name} of "
                f"group '{_read_group(entry)}'{hint}",
                path=entry.path,
            )
        if "." in name.non_empty_text():
            raise name.error("the name of a Service, without a dot")
        namespace_value = entry.get("namespace")
        namespace = namespace_value.non_empty_text() if namespace_value else self.route.namespace
        if self.grants and not self.grants.allows(self.route, namespace, name.text()):
            raise (namespace_value or name).at.missing(
                f"no ReferenceGrant of namespace {namespace} lets a "
                f"{self.route.kind} of {self.route.namespace} send to {name.text()}; its share "
                "would be answered with 500",
                namespace,
                path=entry.path,
            )
        backend = read_backend(entry, self.route.namespace)
        if backend is None:
            raise entry.error("a Service")
        return Target(
            backend.host,
            (),
            weight,
            entry.need("port").integer(1, 65535),
            entry.at,
            headers,
        )
