"""A header that is added to is a list: where Envoy writes it without spaces it is the same one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import EndedCommand
from tests.manifest_text import write_head

GATEWAY = write_head("Gateway", "gw").replace("networking.istio.io", "gateway.networking.k8s.io")
ADDED = "add: [{name: Access-Control-Allow-Origin, value: '*'}]"
RULES = {
    "HTTPRoute": f"""\
{GATEWAY}spec:
  gatewayClassName: istio
  listeners: [{{name: http, port: 80, protocol: HTTP}}]
---
{write_head("HTTPRoute", "goals")}spec:
  parentRefs: [{{name: gw}}]
  rules:
  - filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{{ADDED}}}}}]
    backendRefs: [{{name: goals, port: 8081}}]
""",
    "VirtualService": f"""\
{write_head("VirtualService", "goals")}spec:
  hosts: [goals]
  http:
  - headers: {{response: {{add: {{Access-Control-Allow-Origin: "*"}}}}}}
    route: [{{destination: {{host: goals}}}}]
""",
}


@pytest.mark.local
@pytest.mark.parametrize("kind", RULES)
def test_a_value_that_is_added_to_a_list_of_envoys_own(
    kind: str, tmp_path: Path, meshproof: Callable[..., EndedCommand]
) -> None:
    (tmp_path / "goals.yaml").write_text(RULES[kind])
    ended = meshproof("test", "--rules", "goals.yaml")
    assert ended.code == 0, ended.output
    assert (
        "access-control-allow-origin already there"
        in (tmp_path / "meshproof-report" / "run.json").read_text()
    )
