"""Takes servers (listeners) that no mesh serves from a Gateway, so that the others are checked.

Real Gateways have a port of TCP or of TLS that is passed on beside those of HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from meshproof.base.errors import BadRules, Unsupported
from meshproof.base.names import is_host_within, qualify_gateway, qualify_host
from meshproof.documents.lookup import find_values, read_text
from meshproof.documents.manifest import Document
from meshproof.documents.value import Value

_PART = re.compile(r"spec\.(servers|listeners)\[\d+\]")


@dataclass(frozen=True)
class ReducedGateway:
    """A Gateway without some of its servers: those that are `removed`."""

    document: Document
    removed: tuple[Value, ...]
    remaining: tuple[Value, ...]

    def leaves_out(self, route: Document) -> bool:
        """Say whether a route at the Gateway has hosts, or a listener, that only the removed have.

        Such a route is right, and nothing that is left can show it.
        """
        if route.kind == "VirtualService":
            own_hosts = [
                qualify_host(read_text(host), route.namespace)
                for host in find_values(route.root, "spec", "hosts")
            ]
            return self._is_attached(route) and not _share_hosts(own_hosts, self.remaining)
        hostnames = [read_text(host) for host in find_values(route.root, "spec", "hostnames")]
        sections = set(self._list_sections(route))
        removed_names = {read_text(entry.mapping().get("name")) for entry in self.removed}
        if sections & removed_names:
            return True
        return "" in sections and any(
            not _share_hosts([host], self.remaining) for host in hostnames or ["*"]
        )

    def _is_attached(self, virtual_service: Document) -> bool:
        """Say whether a VirtualService names the Gateway."""
        names = find_values(virtual_service.root, "spec", "gateways")
        full_names = {qualify_gateway(read_text(name), virtual_service.namespace) for name in names}
        return f"{self.document.namespace}/{self.document.name}" in full_names

    def _list_sections(self, route: Document) -> Iterable[str]:
        """Yield the listener that each reference of a route to the Gateway names, "" for all."""
        for parent in find_values(route.root, "spec", "parentRefs"):
            content = parent.mapping()
            namespace = read_text(content.get("namespace")) or route.namespace
            name = read_text(content.get("name"))
            if (namespace, name) == (self.document.namespace, self.document.name):
                yield read_text(content.get("sectionName"))


def reduce_gateway(document: Document, errors: Iterable[BadRules]) -> ReducedGateway | None:
    """Return a Gateway without the servers that errors say are not supported.

    None if something else is wrong with it, or no server is left.
    """
    paths: set[str] = set()
    for error in errors:
        part = _PART.match(error.path)
        if part is None or not isinstance(error, Unsupported):
            return None
        paths.add(part[0])
    key = next(iter(paths)).partition("[")[0].removeprefix("spec.")
    entries = document.spec.need(key)
    remaining = tuple(entry for entry in entries.items() if entry.path not in paths)
    removed = tuple(entry for entry in entries.items() if entry.path in paths)
    if not remaining:
        return None
    spec = replace(
        document.spec,
        content={**document.spec.mapping(), key: replace(entries, content=list(remaining))},
    )
    root = replace(document.root, content={**document.root.mapping(), "spec": spec})
    return ReducedGateway(replace(document, root=root), removed, remaining)


def _share_hosts(own_hosts: Iterable[str], entries: Iterable[Value]) -> bool:
    """Say whether one of some hosts meets one of some servers or listeners."""
    served = [host for entry in entries for host in _list_hosts(entry)]
    return any(
        is_host_within(own, host) or is_host_within(host, own)
        for own in own_hosts
        for host in served
    )


def _list_hosts(entry: Value) -> list[str]:
    """Return the hosts of a server or a listener, without namespaces."""
    if "hosts" in entry.mapping():
        return [read_text(host).rpartition("/")[2] for host in find_values(entry, "hosts")]
    return [read_text(entry.mapping().get("hostname")) or "*"]
