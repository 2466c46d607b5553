"""Gateway that does not exist.

The rule is bound to a gateway that none of the files has, although they have other gateways. A name
without a namespace means a gateway in the rule's own namespace; `mesh` stands for the sidecars.

Why: a rule that is bound to no gateway is served by none: the gateway answers 404 to all.

Bad::

    apiVersion: networking.istio.io/v1
    kind: Gateway
    metadata:
      name: bookinfo-gateway
    spec:
      selector:
        istio: ingressgateway
      servers:
      - port:
          number: 80
          name: http
          protocol: HTTP
        hosts:
        - "*"
    ---
    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: bookinfo
    spec:
      hosts:
      - "*"
      gateways:
      - bookinfo-gatway
      http:
      - route:
        - destination:
            host: productpage

Good::

    apiVersion: networking.istio.io/v1
    kind: Gateway
    metadata:
      name: bookinfo-gateway
    spec:
      selector:
        istio: ingressgateway
      servers:
      - port:
          number: 80
          name: http
          protocol: HTTP
        hosts:
        - "*"
    ---
    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: bookinfo
    spec:
      hosts:
      - "*"
      gateways:
      - bookinfo-gateway
      http:
      - route:
        - destination:
            host: productpage
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.arms import Name, Route
from meshproof.lint.finding import Hit, Level
from meshproof.lint.project import Project
from meshproof.lint.routes import routes
from meshproof.lint.schema import closest
from meshproof.lint.surroundings import Way, surroundings
from meshproof.rules.model import MESH

CODE = "MP0509"
LEVEL = Level.WARNING


def check(project: Project) -> Iterator[Hit]:
    """Report each gateway that a rule names and that is not here, where others are."""
    around = surroundings(project)
    for route in routes(project):
        istio = route.dialect == "VirtualService"
        known = [one for one in around.ways.values() if one.is_istio or not istio]
        names = {one.name for one in around.ways.values()}
        for gateway in route.gateways:
            if known and gateway.full not in names and gateway.full != MESH:
                yield Hit(
                    gateway.at,
                    f"gateway {gateway.full} is not there",
                    _meant(gateway, route, known),
                )


def _meant(gateway: Name, route: Route, known: list[Way]) -> str:
    last = gateway.full.rpartition("/")[2]
    for one in known:
        if one.document.name == last:
            namespace = one.document.namespace
            return one.name if route.dialect == "VirtualService" else f"namespace: {namespace}"
    own = f"{route.document.namespace}/"
    return closest(gateway.full, [one.name for one in known], 0.7).removeprefix(own)
