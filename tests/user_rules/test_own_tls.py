"""TLS to hosts outside: a proxy speaks it where a DestinationRule says so, else requests fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshproof.oracle.dead_ends import DeadEndKind
from meshproof.user_rules import loading

Run = Callable[..., Any]
RULE = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api}
spec:
  hosts: [api.example]
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: https, protocol: HTTPS}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: api}
spec:
  hosts: [api.example]
  http: [{route: [{destination: {host: api.example, port: {number: 443}}}]}]
"""


def write_tls(policy: str, host: str = "api.example", name: str = "tls") -> str:
    return f"""\
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}}}
spec:
  host: "{host}"
  trafficPolicy: {policy}
"""


def at_port(number: int, mode: str) -> str:
    return f"{{portLevelSettings: [{{port: {{number: {number}}}, tls: {{mode: {mode}}}}}]}}"


#: The port leads to that of HTTPS: as in Istio's task "Egress TLS Origination".
LED = RULE.replace(
    "protocol: HTTP}, {number: 443, name: https, protocol: HTTPS}",
    "protocol: HTTP, targetPort: 443}",
).replace(", port: {number: 443}", "")
#: Rules -> whether TLS is spoken.
SPOKEN = {
    RULE + write_tls(at_port(443, "SIMPLE")): True,
    RULE + write_tls("{tls: {mode: SIMPLE}}"): True,
    RULE + write_tls("{tls: {mode: MUTUAL, credentialName: a}}"): True,
    RULE + write_tls("{tls: {mode: SIMPLE}}", "*.example"): True,
    RULE: False,
    RULE + write_tls(at_port(80, "SIMPLE")): False,
    RULE + write_tls("{tls: {mode: DISABLE}}"): False,
    RULE + write_tls("{tls: {mode: SIMPLE}, " + at_port(443, "DISABLE")[1:]): False,
    RULE
    + write_tls("{tls: {mode: SIMPLE}}", "*.example")
    + write_tls("{tls: {mode: DISABLE}}", name="own"): False,
    LED + write_tls(at_port(80, "SIMPLE")): True,
    LED: False,
}


@pytest.mark.parametrize("text", SPOKEN)
def test_the_oracle_says_where_plain_http_meets_tls(text: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(text)
    cases = loading.load([str(tmp_path / "rules.yaml")]).plan.cases
    kinds = {dead_end.kind for case in cases for dead_end in case.dead_ends}
    assert kinds == (set() if SPOKEN[text] else {DeadEndKind.TLS})


@pytest.mark.local
@pytest.mark.parametrize("text", SPOKEN)
def test_a_real_server_takes_tls_alone(meshproof: Run, text: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(text)
    ended = meshproof("test", "--rules", "rules.yaml")
    assert ended.code == (0 if SPOKEN[text] else 1), ended.output
    causes = {
        result.failure.root_cause.what for result in ended.all_results if result.failure is not None
    }
    port = 443 if "HTTPS" in text else 80
    refused = f"plain HTTP is sent to port {port} of api.example, which speaks TLS"
    assert (refused in causes) != SPOKEN[text]
