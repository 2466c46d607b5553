"""`explain` and `try` on real Envoys: what a mesh does otherwise is said, and nothing is left."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from meshproof.cli import main
from meshproof.mesh.envoy import translate
from tests.command import require_nothing_left

pytestmark = pytest.mark.local
SHOP = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.example]
  gateways: [gw]
  http:
  - match: [{uri: {prefix: /api}}]
    route: [{destination: {host: api}}]
  - route: [{destination: {host: web}, weight: 50}, {destination: {host: old}, weight: 50}]
"""


@pytest.fixture
def rules(tmp_path: Path) -> str:
    path = tmp_path / "shop.yaml"
    path.write_text(SHOP)
    return str(path)


def explain(rules: str, *arguments: str, capsys: Any) -> tuple[int, str]:
    code = main(["explain", rules, *arguments])
    return code, capsys.readouterr().out


def test_a_real_envoy_answers_as_explained(rules: str, capsys: Any) -> None:
    code, output = explain(rules, "http://shop.example/api", "--send", capsys=capsys)
    assert code == 0, output
    assert "a real Envoy answered as explained: api" in output
    code, output = explain(rules, "http://shop.example/", "--send", "-o", "json", capsys=capsys)
    sent = json.loads(output)["sent"]
    assert (code, sent["differs"]) == (0, False), output
    assert "web" in sent["text"]


def test_a_mesh_that_asks_the_routes_in_another_order_is_seen(
    rules: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = translate._translate_routes
    monkeypatch.setattr(
        translate, "_translate_routes", lambda *given: list(reversed(tables(*given)))
    )
    code, output = explain(rules, "http://shop.example/api", "--send", capsys=capsys)
    assert code == 1, output
    assert "a real Envoy answered otherwise than explained: " in output


def test_json_has_every_route_with_its_reason(rules: str, capsys: Any) -> None:
    code, output = explain(rules, "http://shop.example/x", "-o", "json", capsys=capsys)
    assert code == 0
    value = json.loads(output)
    first, second = value["routes"]
    assert [first["takes"], first["asked"], second["takes"]] == [False, True, True]
    assert first["misses"] == [
        {"because": "wants path prefix '/api'; the request has path /x", "place": f"{rules}:15"}
    ]
    assert value["answer"] == "web 50 %, old 50 %"


def test_try_keeps_the_mesh_up_until_ctrl_c(rules: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "meshproof", "try", rules, "http://shop.example/api"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's `&` has it ignored, and what was ignored from the start stays so.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()  # it comes when the mesh answers, or when it ends
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=120)
    assert "the mesh of these rules is up" in line, line + errors
    assert process.returncode == 0, errors
    assert "api is what a real Envoy answered to" in output
    require_nothing_left(process.pid)


def test_try_ends_by_itself_and_says_what_differs(
    rules: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["try", rules, "http://shop.example/api", "--for", "0"]) == 0
    assert "curl -i -H 'Host: shop.example' http://127.0.0.1:" in capsys.readouterr().out
    tables = translate._translate_routes
    monkeypatch.setattr(
        translate, "_translate_routes", lambda *given: list(reversed(tables(*given)))
    )
    assert main(["try", rules, "http://shop.example/api", "--for", "0"]) == 1
    assert "api is what the rules say" in capsys.readouterr().out
