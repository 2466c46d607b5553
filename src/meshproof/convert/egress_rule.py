"""EgressRule -> ServiceEntry; where Istio opened TLS for the caller, a DestinationRule does it.

Source: routing/v1alpha1/egress_rule.proto of Istio 0.3 to 0.8, Istio 0.x's page on egress and
today's pages on ServiceEntry and on TLS origination.
"""

from __future__ import annotations

from meshproof.convert.nodes import Node, listed, mapping, scalar
from meshproof.convert.route_rule import Context
from meshproof.convert.services import (
    carried,
    completed,
    is_explicit,
    metadata,
    of_host,
)
from meshproof.documents.manifest import Document, Value
from meshproof.rules.legacy import egress_rule


def convert(document: Document, context: Context) -> Node:
    """Return the ServiceEntry of a rule. Raises BadRules for what a rule cannot say."""
    egress_rule.check(document)
    spec = document.spec
    destination = spec.need("destination")
    host = destination.need("service")
    root = Node({}, (document.root,))
    ports = [_port(port, host, document, context) for port in spec.need("ports").items()]
    head = metadata(document.name, document.namespace, is_explicit(document))
    for key in ("labels", "annotations"):
        kept, _ = carried([document], key)
        head.put(key, kept)
    proxied = spec.get("useEgressProxy")
    if proxied is not None and proxied.boolean():
        why = "it takes an egress gateway, a VirtualService through it and its own DestinationRule"
        context.notes.lost(proxied, why, root)
    made = mapping(
        **_whereabouts(host, destination, document, context),
        ports=Node(list(ports), (spec.need("ports"),)),
        location=scalar("MESH_EXTERNAL"),
        resolution=scalar("NONE" if _is_many(host.text()) else "DNS"),
    )
    return completed(root, "ServiceEntry", head, made)


def _is_many(host: str) -> bool:
    """Say whether a host stands for many, so that the caller's address must be taken."""
    return not egress_rule.is_one(host)


def _whereabouts(
    host: Value, destination: Value, document: Document, context: Context
) -> dict[str, Node]:
    """Return the hosts of the entry, or the addresses under a name that nobody asks for."""
    if egress_rule.ADDRESS.fullmatch(host.text()) is None:
        return {"hosts": listed(scalar(host.text(), destination, host))}
    name = f"{document.name}.{document.namespace}.egress"
    context.notes.known(
        host.at, f"{host.path} is an address: the entry is for it, under the name {name}"
    )
    return {
        "hosts": listed(scalar(name)),
        "addresses": listed(scalar(host.text(), destination, host)),
    }


def _port(port: Value, host: Value, document: Document, context: Context) -> Node:
    number, protocol = port.need("port"), port.need("protocol")
    word = protocol.text().upper()
    if word == "HTTPS":
        _open_tls(number, protocol, host, document, context)
        word = "HTTP"
    name = f"{word.lower()}-{number.integer(1, 65535)}"
    return mapping(
        port,
        number=scalar(number.content if isinstance(number.content, int) else 0, number),
        name=scalar(name),
        protocol=scalar(word, protocol),
    )


def _open_tls(
    number: Value, protocol: Value, host: Value, document: Document, context: Context
) -> None:
    """Let the caller's sidecar open TLS: callers said http://host:443, and may go on so."""
    policy = context.policies.of(of_host(host.text()), document)
    port = number.integer(1, 65535)
    policy.add_port(mapping(port=mapping(number=scalar(port)), tls=mapping(mode=scalar("SIMPLE"))))
    context.notes.known(
        protocol.at,
        f"{protocol.path}: callers say http://{host.text()}:{port}, and their sidecar opens TLS, "
        "as before; its DestinationRule says so",
    )
