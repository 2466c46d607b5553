"""Certificate that two gateways share.

Two gateways of the same proxies (the labels of one selector contain the other's) serve TLS with the
same certificate.

Why: a browser that has a connection for one host uses it for another host, too, if the certificate
holds for both (HTTP/2 connection reuse). The request then arrives where the other gateway's rules
are unknown, and gets 404, now and then and with browsers only (Istio, "Traffic Management
Problems").

Bad::

    apiVersion: networking.istio.io/v1
    kind: Gateway
    metadata:
      name: bookinfo
    spec:
      selector:
        istio: ingressgateway
      servers:
      - port:
          number: 443
          name: https
          protocol: HTTPS
        hosts:
        - bookinfo.example.com
        tls:
          mode: SIMPLE
          credentialName: example-com
    ---
    apiVersion: networking.istio.io/v1
    kind: Gateway
    metadata:
      name: shop
    spec:
      selector:
        istio: ingressgateway
      servers:
      - port:
          number: 443
          name: https
          protocol: HTTPS
        hosts:
        - shop.example.com
        tls:
          mode: SIMPLE
          credentialName: example-com

Good::

    apiVersion: networking.istio.io/v1
    kind: Gateway
    metadata:
      name: bookinfo
    spec:
      selector:
        istio: ingressgateway
      servers:
      - port:
          number: 443
          name: https
          protocol: HTTPS
        hosts:
        - bookinfo.example.com
        tls:
          mode: SIMPLE
          credentialName: example-com
    ---
    apiVersion: networking.istio.io/v1
    kind: Gateway
    metadata:
      name: shop
    spec:
      selector:
        istio: ingressgateway
      servers:
      - port:
          number: 443
          name: https
          protocol: HTTPS
        hosts:
        - shop.example.com
        tls:
          mode: SIMPLE
          credentialName: shop-example-com
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project, read_text
from meshproof.lint.model.inventory import Gateway, Server, read_inventory
from meshproof.lint.model.route import format_place

CODE = "MP0519"
LEVEL = Level.WARNING


def check(project: Project) -> Iterator[Hit]:
    """Report the later of two gateways of the same proxies that have one certificate."""
    held: dict[tuple[str, ...], list[tuple[Gateway, Server]]] = {}
    for way in read_inventory(project).gateways.values():
        for server in way.servers if way.is_istio and way.selector else ():
            certificate = _certificate(server)
            earlier = held.setdefault(certificate, []) if certificate else []
            for other, first in earlier:
                if other is not way and way.shares_proxies_with(other):
                    at = server.tls.at if server.tls is not None else server.at
                    yield Hit(
                        at,
                        f"the certificate {certificate[0]} is that of gateway {other.name}, too "
                        f"({format_place(first.at, at)})",
                        "one gateway with the hosts of both, or a certificate for each",
                    )
                    break
            earlier.append((way, server))


def _certificate(server: Server) -> tuple[str, ...]:
    """Return what names a certificate: a secret, or two files; nothing where there is none."""
    content = server.tls.content if server.tls is not None else None
    if not isinstance(content, dict):
        return ()
    secret = read_text(content.get("credentialName"))
    files = read_text(content.get("serverCertificate")), read_text(content.get("privateKey"))
    return (secret,) if secret else files if all(files) else ()
