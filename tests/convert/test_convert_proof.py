"""`meshproof convert --prove`: real Envoys answer the cases of each side with the other's rules."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.convert.old_texts import EGRESS, INGRESS
from tests.manifest_text import write_head

pytestmark = pytest.mark.local

DOCTORED = Path(__file__).with_name("doctored_convert.py")
SHOP = """\
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: burr}
spec:
  destination: {name: shop}
  precedence: 2
  match:
    request:
      headers:
        cookie: {regex: '^(.*?;\\s*)?user=burr(;.*)?$'}
  route: [{labels: {version: v3}}]
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: split}
spec:
  destination: {name: shop}
  precedence: 1
  match: {request: {headers: {uri: {prefix: /half}}}}
  route:
  - {labels: {version: v1}, weight: 90}
  - {labels: {version: v2}, weight: 10}
"""
OTHER = """\
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: outside}
spec:
  destination: {service: www.example.com}
  route: [{labels: {version: v1}}]
"""
ODD = """\
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: odd}
spec:
  destination: {name: odd}
  l4Fault: {terminate: {percent: 1}}
  route: [{labels: {version: v1}}]
"""


def run(
    folder: Path, text: str, fault: str = "nothing", *options: str
) -> subprocess.CompletedProcess[str]:
    (folder / "old.yaml").write_text(text)
    given = ("old.yaml", "-o", "new.yaml", "--prove", *options)
    return subprocess.run(
        [sys.executable, str(DOCTORED), fault, *given],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def plain(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    (folder / "old.yaml").write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "meshproof", "convert", "old.yaml", "--prove"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_both_directions_hold(tmp_path: Path) -> None:
    done = run(tmp_path, SHOP)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    same, first, second = done.stderr.splitlines()
    assert same == "the same in the routing model: 2 routes of shop.default.svc.cluster.local"
    assert first.startswith("the same on the local mesh: the cases of the source, answered by the ")
    assert second.startswith("the same on the local mesh: the cases of the converted rules, answ")
    for line in (first, second):
        assert int(line.split()[-2]) >= 10, line
    assert (tmp_path / "new.yaml").read_text().startswith("apiVersion: networking.istio.io/v1")
    assert sorted(os.listdir(tmp_path)) == ["new.yaml", "old.yaml"], "no report is left"


def test_the_old_defaults_are_proven_too(tmp_path: Path) -> None:
    first, _, _ = SHOP.partition("---")
    done = run(tmp_path, first, "nothing", "--old-defaults")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("the same on the local mesh") == 2
    assert (tmp_path / "new.yaml").read_text().count("timeout: 15s") == 2
    wrong = run(tmp_path, first, "timeouts_short", "--old-defaults")
    assert wrong.returncode == 1, wrong.stderr
    said = "failed: shop: cookie user=burr, answered too late -> 504 after 15 s"
    assert f"old.yaml:1: RouteRule 'burr': {said}" in wrong.stderr
    reports = Path(wrong.stderr.partition("; reports in ")[2].split()[0])
    shutil.rmtree(reports)


ACTING = """\
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: moved}
spec:
  destination: {name: shop}
  precedence: 3
  match: {request: {headers: {uri: {exact: /old}}}}
  redirect: {uri: /new}
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: changed}
spec:
  destination: {name: shop}
  precedence: 2
  match: {request: {headers: {uri: {prefix: /api}}}}
  rewrite: {uri: /v2}
  appendHeaders: {x-a: b}
  httpReqRetries: {simpleRetry: {attempts: 2}}
  httpFault: {abort: {percent: 100, httpStatus: 503}}
  route: [{labels: {version: v2}}]
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: rest}
spec:
  destination: {name: shop}
  rewrite: {authority: other.example}
  route: [{labels: {version: v1}}]
"""


def test_what_rules_do_beside_routing_holds_in_both_directions(tmp_path: Path) -> None:
    done = plain(tmp_path, ACTING)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("the same on the local mesh") == 2
    assert "redirectCode: 302" in done.stdout


def test_an_ingress_holds_at_its_gateway_in_both_directions(tmp_path: Path) -> None:
    done = plain(tmp_path, INGRESS)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("the same on the local mesh") == 2


#: Fault -> a case of the source that fails, its rule, what was seen instead.
FAULTS: dict[str, tuple[str, str, str]] = {
    "weights_swapped": (
        "shop: path /half -> v1 90 %, v2 10 %",
        "old.yaml:19: RouteRule 'split'",
        "Promised: shop v1 90 %, shop v2 10 %. Seen in",
    ),
    "order_swapped": (
        "shop: path /half -> v1 90 %, v2 10 %",
        "old.yaml:19: RouteRule 'split'",
        "Promised: shop v1 90 %, shop v2 10 %.",
    ),
    "cookie_lost": (
        "shop: path /half -> v1 90 %, v2 10 %",
        "old.yaml:19: RouteRule 'split'",
        "shop.default.v3 gave all",
    ),
    "default_lost": ("shop: no cookie -> any version", "old.yaml:10: RouteRule 'burr'", "HTTP 404"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_conversion_is_red_and_names_rule_and_line(tmp_path: Path, fault: str) -> None:
    case, rule, instead = FAULTS[fault]
    done = run(tmp_path, SHOP, fault)
    assert done.returncode == 1, done.stderr
    said = done.stderr.splitlines()
    assert f"{rule}: failed: {case}" in said, done.stderr
    assert instead in " ".join(done.stderr.split()).partition(f"{case}: failed")[2]
    assert said[-1] == "not the same: the cases of the source, answered by the converted rules"
    assert any(line.startswith("~ GET shop") for line in said), "compare finds it, too"
    reports = Path(done.stderr.partition("; reports in ")[2].split()[0])
    assert (reports / "run.json").exists()
    shutil.rmtree(reports)
    assert not (tmp_path / "new.yaml").exists(), "nothing is written that is not proven"


def test_what_the_mesh_cannot_answer_is_named_and_ends_with_3(tmp_path: Path) -> None:
    done = plain(tmp_path, SHOP + OTHER)
    assert done.returncode == 3, done.stderr
    assert done.stderr.count("the same on the local mesh") == 2
    assert "not proven on the mesh: www.example.com (only services of the cluster)" in done.stderr


def test_a_part_that_is_not_compared_ends_with_3(tmp_path: Path) -> None:
    done = plain(tmp_path, SHOP + ODD)
    assert done.returncode == 3, done.stderr
    assert "of which no HTTP request tells (not proven: RouteRule 'odd')" in done.stderr
    assert done.stderr.count("the same on the local mesh") == 2
    assert "kind: VirtualService" in done.stdout


def test_nothing_to_answer_is_no_proof(tmp_path: Path) -> None:
    text = (
        write_head("EgressRule", "out")
        + "spec: {destination: {service: a.example}, ports: [{port: 9, protocol: tcp}]}\n"
    )
    done = plain(tmp_path, text)
    assert done.returncode == 3, done.stderr
    assert "not proven on the mesh: there is no rule that it can answer" in done.stderr


MANY = """\
apiVersion: config.istio.io/v1alpha2
kind: EgressRule
metadata: {name: many}
spec:
  destination: {service: '*.b.example'}
  ports: [{port: 8080, protocol: http}]
"""


def test_requests_get_out_of_the_mesh_in_both_directions(tmp_path: Path) -> None:
    done = plain(tmp_path, f"{EGRESS}---\n{MANY}")
    assert done.returncode == 0, done.stderr
    assert [line.split()[-2] for line in done.stderr.splitlines()[-2:]] == ["3", "3"]
    assert "old.yaml:9: spec.ports[2].protocol is not proven by requests: only HTTP" in done.stderr
    assert "old.yaml:15: spec.destination.service is not proven by requests: it" in done.stderr
    done = run(tmp_path, EGRESS, "port_lost")
    assert done.returncode == 1, done.stderr
    assert "failed: a.example: any request on port 443 -> any version" in done.stderr
    shutil.rmtree(Path(done.stderr.partition("; reports in ")[2].split()[0]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_second_direction_ends_it_and_leaves_nothing(
    tmp_path: Path, number: int
) -> None:
    (tmp_path / "old.yaml").write_text(SHOP)
    (tmp_path / "tmp").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "meshproof", "convert", "old.yaml", "--prove"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("the same on the local mesh"):  # in the first direction
                break
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    assert stderr.splitlines()[-1] == "meshproof: interrupted"
    assert (process.returncode, stdout) == (2, "")
    assert list((tmp_path / "tmp").iterdir()) == []
