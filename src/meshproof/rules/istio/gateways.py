"""Makes gateways of the model from Istio's Gateways.

Source: istiod, mergeGateways: a Gateway is served by every proxy that has its labels. Proxies are
the pods that a selector selects. Where no file has any, it stands for a proxy with just its labels,
or for Istio's usual gateway, in the root namespace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import cast

from meshproof.base.errors import BadRules
from meshproof.base.names import (
    GATEWAY_SELECTOR,
    ROOT_NAMESPACE,
    USUAL_GATEWAY_LABELS,
    Labels,
    format_labels,
)
from meshproof.documents.problems import CheckedDocument, read_valid
from meshproof.inventory import gateways as inventory
from meshproof.inventory.gateway_pods import GatewayPods
from meshproof.rules.model import Gateway, Proxy, RouteTable, Server, TlsMode


def read_gateways(documents: Iterable[CheckedDocument], pods: GatewayPods) -> tuple[Gateway, ...]:
    """Return the gateways in documents of Istio's kind that have no problem, with their proxies.

    `pods` are those that may be such proxies.
    Servers of several that cannot all be on one port are a problem of the later one.
    """
    found = [
        (checked, gateway)
        for checked in documents
        for gateway in read_valid([checked], inventory.read_gateways)
    ]
    proxies = _list_proxies((gateway for _, gateway in found), pods)
    serves = partial(_serves, is_scoped=pods.is_scoped)
    by_age = sorted(found, key=lambda pair: (pair[1].document.created, pair[1].document.name))
    for proxy in proxies:
        for checked, error in _find_collisions(
            (checked, gateway) for checked, gateway in by_age if serves(proxy, gateway)
        ):
            checked.add_errors([error])
    return tuple(
        Gateway(
            gateway.name,
            tuple(map(_make_server, gateway.servers)),
            gateway.document.at,
            tuple(proxy for proxy in proxies if serves(proxy, gateway)),
            gateway.document.created,
        )
        for checked, gateway in found
        if not checked.problems
    )


def make_redirect_tables(
    gateways: Iterable[Gateway], tables: Iterable[RouteTable]
) -> Iterator[RouteTable]:
    """Yield a table without routes for each gateway that redirects to https and has no table.

    istiod answers so for the hosts of such a server whether or not a rule has them.
    """
    named = {name for table in tables for name in table.gateways or ()}
    for gateway in gateways:
        hosts = [
            host
            for server in gateway.servers
            if server.redirects_to_https
            for host in server.hosts_for("")
        ]
        if hosts and gateway.name not in named:
            unique = tuple(dict.fromkeys(hosts))
            namespace, _, name = gateway.name.partition("/")
            yield RouteTable(unique, (), (gateway.name,), gateway.at, name, namespace)


def _serves(proxy: Proxy, gateway: inventory.Gateway, *, is_scoped: bool) -> bool:
    """Say whether a proxy has the labels that a gateway selects, and its namespace if it must."""
    is_in_reach = not is_scoped or proxy.namespace == gateway.document.namespace
    return is_in_reach and set(gateway.selector) <= set(proxy.labels)


def _find_collisions(
    gateways: Iterable[tuple[CheckedDocument, inventory.Gateway]],
) -> Iterator[tuple[CheckedDocument, BadRules]]:
    """Yield an error for each server that istiod leaves out for one before it at the same proxy.

    A port speaks TLS or plain HTTP, and TLS for a host ends at one server.
    """
    first_by_port: dict[int, inventory.Server] = {}
    first_by_host: dict[tuple[int, str], inventory.Server] = {}
    for checked, gateway in gateways:
        for server in gateway.servers:
            first = first_by_port.setdefault(server.number, server)
            if bool(first.tls_mode) != bool(server.tls_mode):
                words = "plain HTTP" if server.tls_mode else "TLS"
                yield (
                    checked,
                    server.at.error(f"port {server.number} speaks {words} at {first.at}"),
                )
                continue
            for host in server.hosts if server.tls_mode else ():
                known = first_by_host.setdefault((server.number, host), server)
                if known is not server:
                    yield (
                        checked,
                        server.at.error(
                            f"TLS for {host} on port {server.number} ends at {known.at}: istiod "
                            "leaves this server out"
                        ),
                    )
                    break


def _list_proxies(gateways: Iterable[inventory.Gateway], pods: GatewayPods) -> list[Proxy]:
    """Return the proxies of some gateways, each once, with a name of its own."""
    proxies: dict[tuple[str, Labels], Proxy] = {}
    for gateway in gateways:
        for proxy in _find_own_proxies(gateway, pods):
            key = proxy.namespace, proxy.labels
            known = proxies.get(key)
            if known is None or (known.name and not proxy.name):
                proxies[key] = proxy
    names = Counter(proxy.name for proxy in proxies.values())
    return [
        replace(proxy, name=f"{format_labels(proxy.labels)} in {proxy.namespace}")
        if names[proxy.name] > 1
        else proxy
        for proxy in proxies.values()
    ]


def _find_own_proxies(gateway: inventory.Gateway, pods: GatewayPods) -> Iterator[Proxy]:
    """Yield the proxies that the selector of a gateway stands for, one in each namespace."""
    selector, own_namespace = gateway.selector, gateway.document.namespace
    is_usual = set(selector) <= set(USUAL_GATEWAY_LABELS)
    name = "" if is_usual else format_labels(selector)
    found = pods.find(selector or GATEWAY_SELECTOR, own_namespace)
    for namespace, labels in found.items():
        yield Proxy(name, namespace, labels, is_assumed=False)
    if not found:
        namespace = own_namespace if pods.is_scoped else ROOT_NAMESPACE
        yield Proxy(name, namespace, USUAL_GATEWAY_LABELS if is_usual else selector)


def _make_server(server: inventory.Server) -> Server:
    """Return the server of a gateway in the model."""
    is_restricted = any(owner != "*" for owner in server.host_namespaces)
    return Server(
        server.number,
        server.hosts,
        server.host_namespaces if is_restricted else (),
        cast("TlsMode | None", server.tls_mode or None),
        server.redirects_to_https,
    )
