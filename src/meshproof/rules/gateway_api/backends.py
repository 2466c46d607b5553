"""Reads what a rule of Gateway API sends to: backendRefs, across namespaces by ReferenceGrants.

Source: Gateway API reference, BackendRef and ReferenceGrant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from meshproof.base.errors import nearest
from meshproof.base.names import full_name
from meshproof.documents.manifest import Document, Value
from meshproof.rules.actions import UNCHANGED, Headers
from meshproof.rules.gateway_api.listeners import GROUP, ROUTES
from meshproof.rules.model import Target

_MOST = 1_000_000
_REFERENCE = ("group", "kind", "name", "namespace", "port")


@dataclass(frozen=True)
class Grants:
    """Who may send to Services of another namespace.

    `known` are kind of route, its namespace, that of the Service, its name (nothing: all of them).
    """

    known: frozenset[tuple[str, str, str, str]]

    @classmethod
    def read(cls, documents: Iterable[Document]) -> Grants:
        """Return what ReferenceGrants allow to routes; what they allow to others is passed over."""
        known: set[tuple[str, str, str, str]] = set()
        for document in documents:
            spec = document.spec
            spec.allow("from", "to")
            names = []
            for to in spec.need("to").items():
                to.allow("group", "kind", "name")
                name = to.get("name")
                if (to.need("kind").text(), _group(to)) == ("Service", ""):
                    names.append(name.text() if name else "")
            for one in spec.need("from").items():
                one.allow("group", "kind", "namespace")
                kind, namespace = one.need("kind").text(), one.need("namespace").filled()
                if kind in ROUTES and _group(one) == GROUP:
                    known |= {(kind, namespace, document.namespace, name) for name in names}
        return cls(frozenset(known))

    def allow(self, route: Document, namespace: str, name: str) -> bool:
        """Say whether a route may send to a Service."""
        asked = (route.kind, route.namespace, namespace)
        return namespace == route.namespace or not self.known.isdisjoint(
            {(*asked, name), (*asked, "")}
        )


def _group(entry: Value) -> str:
    found = entry.get("group")
    return found.text() if found is not None else ""


@dataclass(frozen=True)
class Backends:
    """Reads the backends of a route; with `grants` those of other namespaces must be allowed.

    Routes of the mesh need no grant (istiod).
    """

    route: Document
    grants: Grants | None

    def split(self, rule: Value, changes: Callable[[Value], Headers]) -> tuple[Target, ...]:
        """Return the split of a rule, `changes` reads the filters of a backend.

        Raises BadRules with its place for what is not supported yet.
        """
        found = rule.get("backendRefs")
        targets = []
        for entry in found.items() if found else []:
            entry.allow(*_REFERENCE, "filters", "weight")
            weight = entry.get("weight")
            share = weight.integer(0, _MOST) if weight else 1
            targets.append(self._target(entry, share, changes(entry)))
        return tuple(targets)

    def mirror(self, entry: Value) -> Target:
        """Return the backend of a RequestMirror."""
        entry.allow(*_REFERENCE)
        return self._target(entry, 100, UNCHANGED)

    def _target(self, entry: Value, weight: int, headers: Headers) -> Target:
        kind, name = entry.get("kind"), entry.need("name")
        called = kind.text() if kind else "Service"
        if (called, _group(entry)) != ("Service", ""):
            hint = nearest(called, ("Service",)) if called != "Service" else ""
            raise (kind or entry).at.unsupported(
                f"{entry.path}: only a Service as backend is supported yet, found a {called} of "
                f"group '{_group(entry)}'{hint}"
            )
        if "." in name.filled():
            raise name.error("the name of a Service, without a dot")
        given = entry.get("namespace")
        namespace = given.filled() if given else self.route.namespace
        if self.grants and not self.grants.allow(self.route, namespace, name.text()):
            raise (given or name).at.missing(
                f"{entry.path}: no ReferenceGrant of namespace {namespace} lets a "
                f"{self.route.kind} of {self.route.namespace} send to {name.text()}; its share "
                "would be answered with 500",
                namespace,
            )
        return Target(
            full_name(name.text(), namespace),
            (),
            weight,
            entry.need("port").integer(1, 65535),
            entry.at,
            headers,
        )
