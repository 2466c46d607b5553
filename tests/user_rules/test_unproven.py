"""What no request can show is named with its place and the reason, by `plan` in both formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshproof import cli

RULES = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
  http: [{route: [{destination: {host: shop}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec:
  host: shop
  trafficPolicy:
    loadBalancer: {simple: RANDOM}
    portLevelSettings:
    - port: {number: 80}
      tls: {mode: SIMPLE}
  subsets:
  - name: v1
    labels: {version: v1}
    trafficPolicy: {outlierDetection: {interval: 5s}, connectionPool: {http: {maxRetries: 3}}}
  - name: v2
    labels: {version: v2}
    trafficPolicy:
      loadBalancer: {localityLbSetting: {enabled: true}, consistentHash: {useSourceIp: true}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out}
spec:
  hosts: [a.example]
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 9, name: tcp, protocol: TCP}]
  resolution: DNS
---
apiVersion: config.istio.io/v1alpha2
kind: DestinationPolicy
metadata: {name: old}
spec:
  destination: {name: shop}
  loadBalancing: {name: RANDOM}
  circuitBreaker: {simpleCb: {maxConnections: 9, sleepWindow: 5s}}
---
apiVersion: config.istio.io/v1alpha2
kind: EgressRule
metadata: {name: many}
spec:
  destination: {service: '*.b.example'}
  ports: [{port: 443, protocol: https}, {port: 80, protocol: http}, {port: 9, protocol: tcp}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gate}
spec:
  selector: {istio: ingressgateway}
  servers:
  - hosts: ['*']
    port: {number: 443, name: https, protocol: HTTPS}
    tls: {mode: MUTUAL, credentialName: c, subjectAltNames: [a], verifyCertificateSpki: [b]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: outside}
spec:
  host: a.example
  trafficPolicy: {tls: {mode: SIMPLE, subjectAltNames: [a.example]}}
"""
#: Line and path -> a word of the reason.
UNPROVEN = {
    (14, "spec.trafficPolicy.loadBalancer.simple"): "equal",
    (17, "spec.trafficPolicy.portLevelSettings[0].tls.mode"): "plaintext",
    (21, "spec.subsets[0].trafficPolicy.outlierDetection.interval"): "fail",
    (21, "spec.subsets[0].trafficPolicy.connectionPool.http.maxRetries"): "exceeded",
    (25, "spec.subsets[1].trafficPolicy.loadBalancer.localityLbSetting.enabled"): "one place",
    (25, "spec.subsets[1].trafficPolicy.loadBalancer.consistentHash.useSourceIp"): "several pods",
    (32, "spec.ports[1].protocol"): "only HTTP",
    (33, "spec.resolution"): "stands for the host",
    (40, "spec.loadBalancing.name"): "equal",
    (41, "spec.circuitBreaker.simpleCb.maxConnections"): "exceeded",
    (41, "spec.circuitBreaker.simpleCb.sleepWindow"): "fail",
    (47, "spec.destination.service"): "many",
    (48, "spec.ports[0].protocol"): "plaintext",
    (48, "spec.ports[2].protocol"): "only HTTP",
    (58, "spec.servers[0].tls.credentialName"): "a certificate of the run",
    (58, "spec.servers[0].tls.subjectAltNames"): "certificates of the run",
    (58, "spec.servers[0].tls.verifyCertificateSpki"): "certificates of the run",
    (65, "spec.trafficPolicy.tls.subjectAltNames"): "a certificate of the run",
}


@pytest.fixture
def rules(tmp_path: Path) -> str:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return str(path)


def test_plan_names_each_field(rules: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", rules, "-o", "json"]) == 0
    plan = json.loads(capsys.readouterr().out)["not_proven"]
    assert {(field["line"], field["path"]) for field in plan} == set(UNPROVEN)
    for field in plan:
        assert UNPROVEN[field["line"], field["path"]] in field["because"], field


def test_the_text_says_the_same(rules: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", rules]) == 0
    lines = capsys.readouterr().out.splitlines()
    for (line, path), because in UNPROVEN.items():
        begin = f"{rules}:{line}: {path} is not proven by requests: "
        assert any(field.startswith(begin) and because in field for field in lines), begin
