"""Objects of Istio 0.x that more than one test converts."""

from __future__ import annotations

EGRESS = """\
apiVersion: config.istio.io/v1alpha2
kind: EgressRule
metadata: {name: out}
spec:
  destination: {service: a.example}
  ports:
  - {port: 80, protocol: http}
  - {port: 443, protocol: https}
  - {port: 9, protocol: tcp}
"""
INGRESS = """\
apiVersion: extensions/v1beta1
kind: Ingress
metadata: {name: gate, annotations: {kubernetes.io/ingress.class: istio}}
spec:
  rules:
  - host: a.example
    http:
      paths:
      - {path: /a.*, backend: {serviceName: shop, servicePort: 80}}
      - {path: /b, backend: {serviceName: other, servicePort: 80}}
"""
