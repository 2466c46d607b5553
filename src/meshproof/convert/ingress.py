"""Converts an Ingress of Istio's class to a Gateway and a VirtualService for each host.

RouteRules of the same input applied to requests through the ingress, too. So their routes come
below the paths of the Ingress. Source: Istio 0.x's page on ingress, today's on Gateway.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meshproof.base.names import INGRESS_ANNOTATION, qualify_host
from meshproof.convert.context import Context
from meshproof.convert.gateway_routes import convert_route_below
from meshproof.convert.nodes import Node, make_list, make_mapping, make_scalar
from meshproof.convert.objects import (
    build_metadata,
    complete_object,
    has_explicit_namespace,
    merge_judge_options,
    merge_metadata,
)
from meshproof.convert.route_rule import LegacyRule
from meshproof.convert.services import Service, build_service
from meshproof.documents.manifest import Document, Value
from meshproof.rules.legacy import ingress
from meshproof.rules.legacy.ingress import Path
from meshproof.rules.model import StringMatch


@dataclass(frozen=True)
class IngressContext:
    """What an Ingress refers to: rules of services by host, their ports by host and name."""

    rules: Mapping[str, list[LegacyRule]]
    ports: Mapping[tuple[str, str], int]


def convert(document: Document, ingress_context: IngressContext, context: Context) -> list[Node]:
    """Return the Gateway and the VirtualServices of an Ingress.

    Raises BadRules with its place for values that an Ingress cannot have.
    """
    hosts = ingress.read_paths(document)
    gateway = _convert_gateway(document, list(hosts), context)
    virtual_services = [
        _convert_host(document, host, paths, len(hosts) == 1, ingress_context, context)
        for host, paths in hosts.items()
    ]
    return [gateway, *virtual_services]


def _convert_gateway(document: Document, hosts: list[str], context: Context) -> Node:
    """Return the Gateway with a server for HTTP and one for each TLS entry."""
    metadata_node = build_metadata(
        document.name, document.namespace, has_explicit_namespace(document)
    )
    root = Node({}, (document.root,))
    labels_node, _ = merge_metadata([document], "labels")
    metadata_node.put("labels", labels_node)
    _carry_annotations(document, metadata_node, context)
    http_port = {
        "number": make_scalar(80),
        "name": make_scalar("http"),
        "protocol": make_scalar("HTTP"),
    }
    servers = [
        make_mapping(
            port=Node(dict(http_port)), hosts=make_list(*(make_scalar(host) for host in hosts))
        )
    ]
    tls = document.spec.get("tls")
    for index, entry in enumerate(tls.items() if tls is not None else []):
        servers.append(_convert_tls(entry, index, hosts, context))
    spec = make_mapping(
        selector=make_mapping(istio=make_scalar("ingressgateway")), servers=make_list(*servers)
    )
    return complete_object(root, "Gateway", metadata_node, spec)


def _carry_annotations(document: Document, metadata_node: Node, context: Context) -> None:
    """Copy the annotations that are not for an ingress controller."""
    annotations, _ = merge_metadata([document], "annotations")
    if annotations is None or not isinstance(annotations.content, dict):
        return
    annotations.content.pop(INGRESS_ANNOTATION, None)
    for name, node in list(annotations.content.items()):
        if ".ingress.kubernetes.io/" in name or name.startswith("ingress.kubernetes.io/"):
            context.notes.add_unconverted(
                node.origins[0], "it is for an ingress controller", metadata_node
            )
            annotations.content.pop(name)
    if annotations.content:
        metadata_node.put("annotations", annotations)


def _convert_tls(entry: Value, index: int, hosts: list[str], context: Context) -> Node:
    """Return the server for TLS; its Secret must now be in the gateway's namespace."""
    hosts_value, secret = entry.get("hosts"), entry.get("secretName")
    host_nodes = (
        [make_scalar(host.text(), host) for host in hosts_value.items()]
        if hosts_value is not None
        else []
    )
    name = "https" if index == 0 else f"https-{index + 1}"
    port = make_mapping(
        number=make_scalar(443), name=make_scalar(name), protocol=make_scalar("HTTPS")
    )
    tls = make_mapping(mode=make_scalar("SIMPLE"))
    node = make_mapping(
        entry, port=port, tls=tls, hosts=make_list(*(host_nodes or map(make_scalar, hosts)))
    )
    if secret is None:
        context.notes.add_unconverted(
            entry, "without a secretName there is no certificate to serve", node
        )
        tls.put("credentialName", make_scalar("istio-ingress-certs"))
    else:
        tls.put("credentialName", make_scalar(secret.text(), secret))
        context.notes.add_hint(
            secret.at,
            f"{secret.path}: the Secret must lie in the namespace of the ingress gateway",
        )
    return node


def _convert_host(
    document: Document,
    host: str,
    paths: list[Path],
    is_only_host: bool,
    ingress_context: IngressContext,
    context: Context,
) -> Node:
    """Return the VirtualService for one host of an Ingress."""
    suffix = "" if is_only_host else f"-{build_service(host).name if host != '*' else 'all'}"
    metadata_node = build_metadata(
        f"{document.name}{suffix}", document.namespace, has_explicit_namespace(document)
    )
    merge_judge_options([document], metadata_node, context.notes)
    root = Node({})
    if qualify_host(host, document.namespace) != host:
        message = (
            f"the host '{host}' without a dot is taken for a Service's name by a VirtualService"
        )
        context.notes.add_doubt(document.at, message, root)
    routes = [
        route
        for path in paths
        for route in _convert_path(path, document, ingress_context, context, root)
    ]
    spec = make_mapping(
        hosts=make_list(make_scalar(host)),
        gateways=make_list(make_scalar(document.name)),
        http=make_list(*routes),
    )
    return complete_object(root, "VirtualService", metadata_node, spec)


def _convert_path(
    path: Path, document: Document, ingress_context: IngressContext, context: Context, root: Node
) -> list[Node]:
    """Return the routes of a path: those of the service's rules that the Ingress can reach.

    Unless one of them takes every request, a route to the service itself comes last.
    """
    service = build_service(qualify_host(path.service.text(), document.namespace))
    number = _find_port(path, service, ingress_context, context, root)
    routes = []
    for rule in ingress_context.rules.get(service.host, []):
        route = convert_route_below(rule, document.namespace, path, number, root, context)
        if route is not None:
            routes.append(route)
    port = make_mapping(number=make_scalar(number)) if number is not None else None
    host = make_scalar(service.host_within(document.namespace), path.service)
    default_route = make_mapping(path.entry)
    if path.conditions:
        default_route.put(
            "match",
            make_list(
                *(make_mapping(uri=_build_condition(condition)) for condition in path.conditions)
            ),
        )
    default_route.put(
        "route", make_list(make_mapping(destination=make_mapping(host=host, port=port)))
    )
    has_catch_all = any(rule.is_catch_all for rule in ingress_context.rules.get(service.host, []))
    return routes if has_catch_all and routes else [*routes, default_route]


def _build_condition(condition: StringMatch) -> Node:
    """Return a condition on a string."""
    return make_mapping(**{condition.kind: make_scalar(condition.value)})


def _find_port(
    path: Path, service: Service, ingress_context: IngressContext, context: Context, root: Node
) -> int | None:
    """Return the port number of a path, None if it has none or its name is unknown."""
    if path.port is None or isinstance(path.port.content, int):
        return path.port.integer(1, 65535) if path.port is not None else None
    name = path.port.text()
    if name.isdecimal():
        raise path.port.error("a number without quotes, or the name of a port")
    number = ingress_context.ports.get((service.host, name))
    if number is None:
        context.notes.add_unconverted(
            path.port, f"give the Service {service.name} too: it says which port '{name}' is", root
        )
    return number
