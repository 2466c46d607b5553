"""`compare`: each planted change is found with its smallest request, and nothing else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshproof.cli import main
from meshproof.mesh.envoy import translate
from tests.user_rules.shop_texts import GATEWAY, HTTP_ROUTE

RULE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: shop}
spec:
  hosts: [shop.example]
  gateways: [gw]
  http:
  - name: beta
    match: [{uri: {prefix: /cart}, headers: {x-beta: {exact: "true"}}}]
    route: [{destination: {host: cart, subset: v2}}]
  - name: canary
    match: [{uri: {prefix: /cart}}]
    route:
    - {destination: {host: cart, subset: v1}, weight: 90}
    - {destination: {host: cart, subset: v2}, weight: 10}
  - name: web
    route: [{destination: {host: web}}]
"""
Compare = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Compare:
    """Compare two texts of rules; return the exit code and the report."""
    monkeypatch.chdir(tmp_path)

    def run(before: str, after: str, *arguments: str) -> tuple[int, dict[str, Any]]:
        Path("a.yaml").write_text(GATEWAY + before if "HTTPRoute" not in before else before)
        Path("b.yaml").write_text(GATEWAY + after if "HTTPRoute" not in after else after)
        code = main(["compare", "a.yaml", "b.yaml", "-o", "json", *arguments])
        return code, json.loads(capsys.readouterr().out)

    return run


def list_changes(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (change["request"], change["before"]["answer"], change["after"]["answer"])
        for change in report["changes"]
    ]


def test_the_same_rules_change_nothing(compare: Compare) -> None:
    code, report = compare(RULE, RULE, "--no-send")
    assert (code, report["changes"], report["no_longer_reached"]) == (0, [], [])
    assert report["requests"] > 10


SWAPPED = RULE.replace("90}", "X}").replace("10}", "90}").replace("X}", "10}")


def test_swapped_weights_are_found(compare: Compare) -> None:
    code, report = compare(RULE, SWAPPED, "--no-send")
    assert code == 1
    assert list_changes(report) == [
        ("GET shop.example/cart", "cart v1 90 %, cart v2 10 %", "cart v1 10 %, cart v2 90 %")
    ]


def test_a_lost_header_match_is_found_with_the_route_that_is_no_longer_reached(
    compare: Compare,
) -> None:
    after = RULE.replace(', headers: {x-beta: {exact: "true"}}', "")
    code, report = compare(RULE, after, "--no-send")
    assert code == 1
    assert list_changes(report) == [
        ("GET shop.example/cart", "cart v1 90 %, cart v2 10 %", "cart v2")
    ]
    (lost,) = report["no_longer_reached"]
    assert lost.startswith("route 2 'canary' of shop is no longer reached")


def test_a_renamed_host_is_not_served_on_one_side(compare: Compare) -> None:
    code, report = compare(RULE, RULE.replace("host: web", "host: wbe"), "--no-send")
    assert code == 1
    assert list_changes(report) == [("GET shop.example/", "web", "wbe")]


def test_a_conversion_that_loses_its_subsets_is_found(compare: Compare) -> None:
    code, report = compare(RULE, HTTP_ROUTE, "--no-send")
    assert code == 1
    changes = {request: (before, after) for request, before, after in list_changes(report)}
    assert changes["GET shop.example/cart"] == ("cart v1 90 %, cart v2 10 %", "cart")
    assert changes["GET shop.example/"] == ("web", "answered 404")


def test_expected_changes_are_taken_and_one_that_does_not_come_is_said(compare: Compare) -> None:
    expected = Path("changes.txt")
    expected.write_text("# the canary grows\n~ GET shop.example/cart    v1 -> v2\n")
    code, report = compare(RULE, SWAPPED, "--no-send", "--expect-changes", "changes.txt")
    assert (code, report["expected_but_unchanged"]) == (0, [])
    expected.write_text("GET shop.example/cart\nGET shop.example/wishes\n")
    code, report = compare(RULE, SWAPPED, "--no-send", "--expect-changes", "changes.txt")
    assert (code, report["expected_but_unchanged"]) == (1, ["GET shop.example/wishes"])


def test_a_revision_is_a_side_and_its_places_are_named_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)

    Path("k8s").mkdir()
    Path("k8s/shop.yaml").write_text(GATEWAY + RULE)
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-q", "-m", "rules")
    Path("k8s/shop.yaml").write_text(GATEWAY + SWAPPED)
    assert main(["compare", "main:k8s", "k8s", "--no-send"]) == 1
    output = capsys.readouterr().out
    assert "~ GET shop.example/cart\n" in output
    assert "main:k8s/shop.yaml:" in output
    assert "meshproof-revision" not in output
    for side, words in (
        ("mian:k8s", "'mian' is no git revision here; did you mean 'main'?"),
        ("main:k9s", "revision main has no k9s; did you mean 'k8s'?"),
        ("k8s@isitod", "no mesh 'isitod'"),
    ):
        assert main(["compare", side, "k8s", "--no-send"]) == 64
        assert words in capsys.readouterr().err


def test_two_sides_with_no_common_host_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(GATEWAY + RULE)
    Path("b.yaml").write_text((GATEWAY + RULE).replace("shop.example", "other.example"))
    assert main(["compare", "a.yaml", "b.yaml"]) == 64
    assert "have no host in common: shop.example, and other.example" in capsys.readouterr().err


@pytest.mark.local
def test_real_envoys_of_both_sides_are_asked(
    compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, report = compare(RULE, RULE)
    assert (code, report["meshes_that_differ"]) == (0, [])
    tables = translate._translate_routes
    monkeypatch.setattr(
        translate, "_translate_routes", lambda *given: list(reversed(tables(*given)))
    )
    code, report = compare(RULE, RULE)
    assert (code, report["changes"]) == (1, [])
    assert any(
        line.startswith("a.yaml: GET shop.example/cart") and "a real Envoy: web" in line
        for line in report["meshes_that_differ"]
    )
