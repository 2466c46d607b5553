"""A run says which parts of the rules no request proves, in every report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshproof.run.record import Run
from meshproof.user_rules import loading
from meshproof.user_rules.not_proven import list_not_proven, list_unreached

RULES = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec:
  host: shop
  trafficPolicy: {loadBalancer: {simple: RANDOM}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
  http:
  - match: [{scheme: {exact: http}}]
    route: [{destination: {host: shop}}]
    timeout: 60s
    retries: {attempts: 1, retryOn: "503"}
  - name: dead
    match: [{uri: {exact: /a}, method: {exact: GET}}]
    route: [{destination: {host: shop}}]
"""
UNPROVEN = (
    "6: spec.trafficPolicy.loadBalancer.simple is not proven by requests: which of several",
    "14: not proven: the scheme of its match: every request to it is plain HTTP",
    "14: not proven: the timeout of 60 s",
)
UNASKED = (
    "not looked for: a timeout on 1 route without",
    "not looked for: retries on 1 route without",
    "not looked for: on 1 route methods other than GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS "
    "and TRACE",
    "not looked for: on 1 route retries of statuses other than 500, 502, 503, 504 and 409",
    "not looked for: mirrored copies on 2 routes without",
    "not looked for: on 1 route a timeout that comes up to half as long again and 1 s later",
    "not looked for: delays of less than 1 s, and delays of some requests only",
)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


UNREACHED = "18: route 2 'dead' of shop is unreached: the route at"
SPLIT_OF_NOTHING = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
  http:
  - route:
    - {destination: {host: shop}, weight: 90}
    - {destination: {host: shop}, weight: 10}
"""


def test_what_no_request_proves_is_listed_with_its_place(rules: Path) -> None:
    lines = list_not_proven(loading.load([str(rules)]))
    for expected in UNPROVEN:
        assert any(line.startswith(f"{rules}:{expected}") for line in lines), (expected, lines)
    assert set(UNASKED) <= set(lines)
    assert len(lines) == len(UNPROVEN) + len(UNASKED)


def test_a_route_that_no_case_reaches_is_named_apart(rules: Path) -> None:
    (line,) = list_unreached(loading.load([str(rules)]))
    assert str(line).startswith(f"{rules}:{UNREACHED}")


def test_a_split_between_equal_destinations_is_not_proven(rules: Path) -> None:
    rules.write_text(SPLIT_OF_NOTHING)
    lines = list_not_proven(loading.load([str(rules)]))
    assert f"{rules}:8: not proven: its split: all 2 of its destinations are shop" in lines


@pytest.mark.local
def test_a_run_reports_it(meshproof: Callable[..., Any], rules: Path, tmp_path: Path) -> None:
    ended = meshproof("test", "--rules", "rules.yaml")
    assert ended.code == 3, ended.output
    assert "Inconclusive: no request reaches 1 route" in ended.output
    folder = tmp_path / "meshproof-report"
    record = Run.from_json((folder / "run.json").read_text())
    assert len(record.not_proven) == len(UNPROVEN) + len(UNASKED)
    texts = [(folder / name).read_text() for name in ("index.html", "junit.xml")]
    for text in (*texts, ended.output):
        assert "rules.yaml:14: not proven: the timeout of 60 s" in text
        assert "not looked for: retries on 1 route without" in text
        assert "not looked for: on 1 route methods other than GET" in text
        assert UNREACHED.partition("'dead'")[2] in text
