"""Converts an EgressRule to a ServiceEntry, with a DestinationRule where the sidecar opens TLS.

Source: routing/v1alpha1/egress_rule.proto of Istio 0.3 to 0.8, Istio 0.x's page on egress and
today's pages on ServiceEntry and on TLS origination.
"""

from __future__ import annotations

from meshproof.convert.context import Context
from meshproof.convert.nodes import Node, make_list, make_mapping, make_scalar
from meshproof.convert.objects import (
    build_metadata,
    complete_object,
    has_explicit_namespace,
    merge_metadata,
)
from meshproof.convert.services import build_service
from meshproof.documents.manifest import Document, Value
from meshproof.rules.legacy import egress_rule


def convert(document: Document, context: Context) -> Node:
    """Return the ServiceEntry of a rule. Raises BadRules for values that a rule cannot have."""
    egress_rule.check_rule(document)
    spec = document.spec
    destination = spec.need("destination")
    host = destination.need("service")
    root = Node({}, (document.root,))
    ports = [_convert_port(port, host, document, context) for port in spec.need("ports").items()]
    metadata_node = build_metadata(
        document.name, document.namespace, has_explicit_namespace(document)
    )
    for key in ("labels", "annotations"):
        merged, _ = merge_metadata([document], key)
        metadata_node.put(key, merged)
    egress_proxy = spec.get("useEgressProxy")
    if egress_proxy is not None and egress_proxy.boolean():
        reason = (
            "it takes an egress gateway, a VirtualService through it and its own DestinationRule"
        )
        context.notes.add_unconverted(egress_proxy, reason, root)
    service_entry = make_mapping(
        **_convert_host(host, destination, document, context),
        ports=Node(list(ports), (spec.need("ports"),)),
        location=make_scalar("MESH_EXTERNAL"),
        resolution=make_scalar("NONE" if _is_wildcard(host.text()) else "DNS"),
    )
    return complete_object(root, "ServiceEntry", metadata_node, service_entry)


def _is_wildcard(host: str) -> bool:
    """Say whether a host stands for many, so that requests keep the address of the caller."""
    return not egress_rule.is_single_name(host)


def _convert_host(
    host: Value, destination: Value, document: Document, context: Context
) -> dict[str, Node]:
    """Return the hosts of the entry; for an address a made-up host with `addresses`."""
    if egress_rule.ADDRESS.fullmatch(host.text()) is None:
        return {"hosts": make_list(make_scalar(host.text(), destination, host))}
    name = f"{document.name}.{document.namespace}.egress"
    context.notes.add_hint(
        host.at, f"{host.path} is an address: the entry is for it, under the name {name}"
    )
    return {
        "hosts": make_list(make_scalar(name)),
        "addresses": make_list(make_scalar(host.text(), destination, host)),
    }


def _convert_port(port: Value, host: Value, document: Document, context: Context) -> Node:
    """Return a port of the entry; https becomes http with TLS opened by the sidecar."""
    number, protocol = port.need("port"), port.need("protocol")
    protocol_name = protocol.text().upper()
    if protocol_name == "HTTPS":
        _originate_tls(number, protocol, host, document, context)
        protocol_name = "HTTP"
    name = f"{protocol_name.lower()}-{number.integer(1, 65535)}"
    return make_mapping(
        port,
        number=make_scalar(number.content if isinstance(number.content, int) else 0, number),
        name=make_scalar(name),
        protocol=make_scalar(protocol_name, protocol),
    )


def _originate_tls(
    number: Value, protocol: Value, host: Value, document: Document, context: Context
) -> None:
    """Let the caller's sidecar open TLS: callers use http://host:443, and may continue to do so.

    Raises BadRules for a host without a dot: a DestinationRule takes it for a Service.
    """
    if "." not in host.text():
        raise host.at.error(
            f"TLS to '{host.text()}' cannot be converted: without a dot, a "
            f"DestinationRule takes it for a Service of namespace {document.namespace}",
            path=host.path,
        )
    destination_rule = context.destination_rules.get_or_add(build_service(host.text()), document)
    port = number.integer(1, 65535)
    destination_rule.add_port_settings(
        make_mapping(
            port=make_mapping(number=make_scalar(port)),
            tls=make_mapping(mode=make_scalar("SIMPLE")),
        )
    )
    context.notes.add_hint(
        protocol.at,
        f"{protocol.path}: callers say http://{host.text()}:{port}, and their sidecar opens TLS, "
        "as before; its DestinationRule says so",
    )
