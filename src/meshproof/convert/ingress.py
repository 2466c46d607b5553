"""Ingress of Istio's class -> Gateway, and a VirtualService for each host.

What RouteRules of the same input say of a backend held for requests through the ingress, too; so
their routes stand below its paths. Source: Istio 0.x's page on ingress, today's on Gateway.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meshproof.base.names import INGRESS_ANNOTATION, full_name
from meshproof.convert.at_gateway import route_below
from meshproof.convert.nodes import Node, listed, mapping, scalar
from meshproof.convert.route_rule import Context, Rule
from meshproof.convert.services import (
    Service,
    carried,
    carry_options,
    completed,
    is_explicit,
    metadata,
    of_host,
)
from meshproof.documents.manifest import Document, Value
from meshproof.rules.legacy import ingress
from meshproof.rules.legacy.ingress import Path
from meshproof.rules.model import StringMatch


@dataclass(frozen=True)
class Around:
    """What is known beside an Ingress: rules of services by host, their ports by host and name."""

    rules: Mapping[str, list[Rule]]
    ports: Mapping[tuple[str, str], int]


def convert(document: Document, around: Around, context: Context) -> list[Node]:
    """Return the Gateway and the VirtualServices of an Ingress.

    Raises BadRules with its place for what an Ingress cannot say.
    """
    hosts = ingress.paths(document)
    gateway = _gateway(document, list(hosts), context)
    tables = [
        _virtual_service(document, host, found, len(hosts) == 1, around, context)
        for host, found in hosts.items()
    ]
    return [gateway, *tables]


def _gateway(document: Document, hosts: list[str], context: Context) -> Node:
    head = metadata(document.name, document.namespace, is_explicit(document))
    root = Node({}, (document.root,))
    kept, _ = carried([document], "labels")
    head.put("labels", kept)
    _carry_annotations(document, head, context)
    plain = {"number": scalar(80), "name": scalar("http"), "protocol": scalar("HTTP")}
    servers = [mapping(port=Node(dict(plain)), hosts=listed(*(scalar(one) for one in hosts)))]
    tls = document.spec.get("tls")
    for index, entry in enumerate(tls.items() if tls is not None else []):
        servers.append(_secure(entry, index, hosts, context))
    spec = mapping(selector=mapping(istio=scalar("ingressgateway")), servers=listed(*servers))
    return completed(root, "Gateway", head, spec)


def _carry_annotations(document: Document, head: Node, context: Context) -> None:
    kept, _ = carried([document], "annotations")
    if kept is None or not isinstance(kept.content, dict):
        return
    kept.content.pop(INGRESS_ANNOTATION, None)
    for name, node in list(kept.content.items()):
        if ".ingress.kubernetes.io/" in name or name.startswith("ingress.kubernetes.io/"):
            context.notes.lost(node.origins[0], "it is for an ingress controller", head)
            kept.content.pop(name)
    if kept.content:
        head.put("annotations", kept)


def _secure(entry: Value, index: int, hosts: list[str], context: Context) -> Node:
    """Return the server for TLS; its certificate must now lie beside the gateway's workload."""
    entry.allow("hosts", "secretName")
    named, secret = entry.get("hosts"), entry.get("secretName")
    own = [scalar(one.text(), one) for one in named.items()] if named is not None else []
    name = "https" if index == 0 else f"https-{index + 1}"
    port = mapping(number=scalar(443), name=scalar(name), protocol=scalar("HTTPS"))
    tls = mapping(mode=scalar("SIMPLE"))
    node = mapping(entry, port=port, tls=tls, hosts=listed(*(own or map(scalar, hosts))))
    if secret is None:
        context.notes.lost(entry, "without a secretName there is no certificate to serve", node)
        tls.put("credentialName", scalar("istio-ingress-certs"))
    else:
        tls.put("credentialName", scalar(secret.text(), secret))
        context.notes.known(
            secret.at,
            f"{secret.path}: the Secret must lie in the namespace of the ingress gateway",
        )
    return node


def _virtual_service(
    document: Document,
    host: str,
    found: list[Path],
    alone: bool,
    around: Around,
    context: Context,
) -> Node:
    suffix = "" if alone else f"-{of_host(host).name if host != '*' else 'all'}"
    head = metadata(f"{document.name}{suffix}", document.namespace, is_explicit(document))
    carry_options([document], head, context.notes)
    root = Node({})
    if full_name(host, document.namespace) != host:
        said = f"the host '{host}' without a dot is taken for a Service's name by a VirtualService"
        context.notes.doubt(document.at, said, root)
    routes = [route for path in found for route in _routes(path, document, around, context, root)]
    spec = mapping(
        hosts=listed(scalar(host)),
        gateways=listed(scalar(document.name)),
        http=listed(*routes),
    )
    return completed(root, "VirtualService", head, spec)


def _routes(
    path: Path, document: Document, around: Around, context: Context, root: Node
) -> list[Node]:
    """Return a path's routes: those of its service's rules below it, then the service itself."""
    service = of_host(full_name(path.service.text(), document.namespace))
    number = _port(path, service, around, context, root)
    routes = []
    for rule in around.rules.get(service.host, []):
        route = route_below(rule, document.namespace, path, number, root, context)
        if route is not None:
            routes.append(route)
    port = mapping(number=scalar(number)) if number is not None else None
    host = scalar(service.written(document.namespace), path.service)
    plain = mapping(path.at)
    if path.conditions:
        plain.put("match", listed(*(mapping(uri=_string(one)) for one in path.conditions)))
    plain.put("route", listed(mapping(destination=mapping(host=host, port=port))))
    takes_all = any(rule.takes_all for rule in around.rules.get(service.host, []))
    return routes if takes_all and routes else [*routes, plain]


def _string(one: StringMatch) -> Node:
    return mapping(**{one.kind: scalar(one.value)})


def _port(path: Path, service: Service, around: Around, context: Context, root: Node) -> int | None:
    if path.port is None or isinstance(path.port.content, int):
        return path.port.integer(1, 65535) if path.port is not None else None
    name = path.port.text()
    if name.isdecimal():
        raise path.port.error("a number without quotes, or the name of a port")
    number = around.ports.get((service.host, name))
    if number is None:
        context.notes.lost(
            path.port, f"give the Service {service.name} too: it says which port '{name}' is", root
        )
    return number
