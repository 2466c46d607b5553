"""Live objects that nothing can be proven of: each is set aside by name, and the rest goes on.

A namespace holds whatever its users need: a Gateway with certificates, a route for TCP, a Gateway
of another team's namespace. In a file of one's own such a thing is an error with its line; of live
rules it is named as not supported, with all that does not hold without it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from meshproof.base.errors import BadRules, Missing, Unsupported
from meshproof.base.names import MESH, full_name, gateway_name
from meshproof.documents.manifest import At, Document
from meshproof.documents.value import Value

_ISTIO, _GATEWAY_API = "networking.istio.io", "gateway.networking.k8s.io"
_ROUTES = ("GRPCRoute", "HTTPRoute", "Ingress", "VirtualService")


@dataclass(frozen=True)
class Excluded:
    """A live object, or a part of one, that is not checked: its place, its name, and why."""

    at: At
    name: str
    because: str

    @property
    def title(self) -> str:
        """The sentence that is not proven."""
        return f"{self.name} does as it says"

    def __str__(self) -> str:
        return f"{self.at}: {self.name} is not checked: {self.because}"


class Living:
    """The objects of live namespaces, without what was set aside."""

    def __init__(self, documents: Sequence[Document], namespaces: Collection[str]) -> None:
        """`namespaces` are those that were read; Gateways of others are set aside at once."""
        self.documents = list(documents)
        self.asides: list[Excluded] = []
        self._read = frozenset(namespaces)
        self._detach(
            lambda name: name.partition("/")[0] not in self._read,
            "namespace {} is not among those that are read",
        )

    @property
    def routes(self) -> bool:
        """Whether an object is left that routes anything."""
        return any(one.kind in _ROUTES for one in self.documents)

    def take(self, error: BadRules) -> bool:
        """Set aside what an error is about, if it is one of these; say whether it was.

        Only what is beyond meshproof, or names an object of a namespace that was not read: a rule
        that is wrong stays an error.
        """
        found = [one for one in self.documents if one.at.file == error.file]
        elsewhere = isinstance(error, Missing) and error.namespace not in self._read
        if not found or not (elsewhere or isinstance(error, Unsupported)):
            return False
        line, column, said = str(error).removeprefix(f"{error.file}:").split(":", 2)
        if elsewhere:
            said = f"{said} (in the namespaces that are read)"
        self._set_aside(found[0], At(error.file, int(line), int(column)), said.strip())
        return True

    def _set_aside(self, document: Document, at: At, because: str) -> None:
        self.documents.remove(document)
        self.asides.append(Excluded(at, _name(document), because))
        if (document.kind, document.group) == ("Gateway", _ISTIO):
            own = f"{document.namespace}/{document.name}"
            self._detach(lambda name: name == own, f"{_name(document)} is not checked")
        for one in [one for one in self.documents if _hangs_on(one, document)]:
            if one in self.documents:  # what hung on another one of them is gone already
                said = f"it does not hold without {_name(document)}, which is not checked"
                self._set_aside(one, one.at, said)

    def _detach(self, gone: Callable[[str], bool], because: str) -> None:
        """Take Gateways out of VirtualServices: what holds in sidecars is still checked."""
        for one in self.documents[:]:
            if (one.kind, one.group) != ("VirtualService", _ISTIO):
                continue
            listed = _gateways(one.spec, one.namespace)
            names = [name for name in listed if name != MESH and gone(name)]
            for name in names:
                said = because.format(name.partition("/")[0])
                self.asides.append(Excluded(one.at, f"{_name(one)} at Gateway {name}", said))
            rest = _without(one, gone)
            if rest is None:
                self.documents.remove(one)
                if not names:
                    said = "each of its routes is for a Gateway that is not checked"
                    self.asides.append(Excluded(one.at, _name(one), said))
            elif rest is not one:
                self.documents[self.documents.index(one)] = rest


def _name(document: Document) -> str:
    return f"{document.kind} {document.namespace}/{document.name}"


def _gateways(parent: Value, namespace: str) -> list[str]:
    """Return the Gateways that a VirtualService or a match of it names, as `namespace/name`."""
    return [gateway_name(one.text(), namespace) for one in parent.entries("gateways")]


def _without(document: Document, gone: Callable[[str], bool]) -> Document | None:
    """Return a VirtualService without some Gateways and what is for them alone; None: nothing is.

    A delegate names Gateways in its matches only.
    """
    spec = _left(document.spec, document.namespace, gone)
    if spec is None:
        return None
    routes = spec.entries("http")
    kept = [route for one in routes if (route := _route(one, document.namespace, gone)) is not None]
    if routes and not kept:
        return None
    if kept != routes:
        spec = _with(spec, "http", kept)
    return document if spec is document.spec else replace(document, root=_put(document, spec))


def _route(route: Value, namespace: str, gone: Callable[[str], bool]) -> Value | None:
    matches = route.entries("match")
    kept = [one for match in matches if (one := _left(match, namespace, gone)) is not None]
    if kept == matches:
        return route
    return _with(route, "match", kept) if kept else None


def _left(holder: Value, namespace: str, gone: Callable[[str], bool]) -> Value | None:
    """Return a value without some of its `gateways`; None where none is left of them."""
    entries = holder.entries("gateways")
    kept = [one for one in entries if not _is_gone(one, namespace, gone)]
    if len(kept) == len(entries):
        return holder
    return _with(holder, "gateways", kept) if kept else None


def _is_gone(gateway: Value, namespace: str, gone: Callable[[str], bool]) -> bool:
    name = gateway_name(gateway.text(), namespace)
    return name != MESH and gone(name)


def _with(holder: Value, key: str, items: list[Value]) -> Value:
    listed = replace(holder.need(key), content=items)
    return replace(holder, content={**holder.mapping(), key: listed})


def _put(document: Document, spec: Value) -> Value:
    return replace(document.root, content={**document.root.mapping(), "spec": spec})


def _hangs_on(one: Document, gone: Document) -> bool:
    """Say whether an object does not hold, or not alone, without another one."""
    if one.group != gone.group or "spec" not in one.root.mapping():
        return False
    if gone.group == _GATEWAY_API:
        return bool(_parents(one) & (_parents(gone) or {_own(gone)}))
    if one.kind != "VirtualService":
        return False
    if gone.kind == "DestinationRule":
        host = full_name(gone.spec.need("host").text(), gone.namespace)
        return any(
            "subset" in found and full_name(str(found.get("host")), one.namespace) == host
            for found in _mappings(one.spec.plain())
        )
    if gone.kind != "VirtualService":
        return False
    if gone.spec.get("hosts") is None:
        return any(
            (found["delegate"].get("namespace") or one.namespace, found["delegate"].get("name"))
            == (gone.namespace, gone.name)
            for found in _mappings(one.spec.plain())
            if isinstance(found.get("delegate"), dict)
        )
    return bool(_hosts(one) & _hosts(gone) and _where(one) & _where(gone))


def _own(gateway: Document) -> tuple[str, str, str]:
    return gateway.kind, gateway.namespace, gateway.name


def _parents(http_route: Document) -> set[tuple[str, str, str]]:
    """Return kind, namespace and name of what a route of Gateway API attaches to."""
    found = set()
    for one in http_route.spec.plain().get("parentRefs") or ():
        kind, namespace = one.get("kind", "Gateway"), one.get("namespace", http_route.namespace)
        found.add((kind, namespace, str(one.get("name"))))
    return found


def _hosts(rule: Document) -> set[str]:
    return {full_name(one.text(), rule.namespace) for one in rule.spec.entries("hosts")}


def _where(rule: Document) -> set[str]:
    return set(_gateways(rule.spec, rule.namespace)) or {MESH}


def _mappings(content: Any) -> Iterator[dict[str, Any]]:
    """Yield every mapping in some plain content."""
    if isinstance(content, dict):
        yield content
        content = list(content.values())
    for one in content if isinstance(content, list) else ():
        yield from _mappings(one)
