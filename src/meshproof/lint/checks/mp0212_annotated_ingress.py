"""Ingress that Istio serves by an annotation.

The Ingress is handed to Istio by `kubernetes.io/ingress.class: istio`.

Why: the annotation is deprecated since Kubernetes 1.18, and an Ingress says nothing of versions,
weights, headers or timeouts: what is routed to the gateway by it cannot be split or tested by
header. Istio's own words for it are a Gateway and a VirtualService; Gateway API's are a Gateway and
an HTTPRoute.

Bad::

    apiVersion: networking.k8s.io/v1
    kind: Ingress
    metadata:
      name: productpage
      annotations:
        kubernetes.io/ingress.class: istio
    spec:
      rules:
      - http:
          paths:
          - path: /productpage
            pathType: Exact
            backend:
              service:
                name: productpage
                port:
                  number: 9080

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
          number: 80
          name: http
          protocol: HTTP
        hosts:
        - bookinfo.example.com
    ---
    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: bookinfo
    spec:
      hosts:
      - bookinfo.example.com
      gateways:
      - bookinfo
      http:
      - match:
        - uri:
            exact: /productpage
        route:
        - destination:
            host: productpage
            port:
              number: 9080
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import INGRESS_ANNOTATION, INGRESS_CLASS
from meshproof.lint.engine.defect import DefectKind
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project, find_values, read_text

CODE = "MP0212"
LEVEL = Level.WARNING


def check(project: Project) -> Iterator[Hit]:
    """Report each Ingress with Istio's class in an annotation."""
    for document in project.documents_of_kind("Ingress"):
        if project.find_defects(DefectKind.GONE_VERSION, document):
            continue  # it has to be rewritten anyway
        for noted in find_values(document.root, "metadata", "annotations"):
            if [read_text(one) for one in find_values(noted, INGRESS_ANNOTATION)] == [INGRESS_CLASS]:
                yield Hit(
                    noted.keys[INGRESS_ANNOTATION],
                    f"the annotation {INGRESS_ANNOTATION} is deprecated, and an Ingress cannot "
                    "split",
                    "Gateway and VirtualService, or Gateway and HTTPRoute of Gateway API",
                )
