"""Two meshes with the same rules: each difference with its request and the config that differs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from meshproof.cli import main
from meshproof.mesh.istiod import rule_mesh
from meshproof.mesh.istiod.config_dump import list_differences, read_values
from meshproof.mesh.istiod.objects import Placed, read_rules
from meshproof.oracle.conditions import Call
from meshproof.user_rules.neighbours import list_neighbours
from tests.mesh.istiod.conftest import pilot_discovery
from tests.user_rules.shop_texts import GATEWAY
from tests.user_rules.test_compare_command import RULE

__all__ = ["pilot_discovery"]


def make_dump(prefix: str, address: str, generation: int) -> str:
    """Return an Envoy's dump: one route of one host, and the listener."""
    match = {"match": {"prefix": prefix}, "name": f"meshproof-generation-{generation}."}
    host = {"name": "shop:80", "domains": ["shop"], "routes": [match]}
    routes = {"route_config": {"name": "80", "virtual_hosts": [host]}, "version_info": prefix}
    listener = {"name": f"{address}_80", "address": {"host": address}}
    return json.dumps(
        {
            "configs": [
                {"@type": "a/v3.RoutesConfigDump", "dynamic_route_configs": [routes]},
                {
                    "@type": "a/v3.ListenersConfigDump",
                    "dynamic_listeners": [{"active_state": {"listener": listener}}],
                },
                {"@type": "a/v3.BootstrapConfigDump", "bootstrap": {"node": address}},
            ]
        }
    )


def test_configs_differ_where_values_do_and_not_by_what_a_run_has_for_itself() -> None:
    before = read_values(make_dump("/a", "127.1.2.3", 1))
    assert not list_differences(before, read_values(make_dump("/a", "127.9.9.9", 2)))
    ((place, former, latter),) = list_differences(
        before, read_values(make_dump("/b", "127.1.2.3", 1))
    )
    assert place[:4] == ("route", "80", "virtual_hosts", "shop:80")
    assert place[-2:] == ("match", "prefix")
    assert (former, latter) == ('"/a"', '"/b"')


def test_neighbours_differ_in_one_thing() -> None:
    call = Call("shop", "/cart", headers=(("x-beta", "true"),), query=(("id", "1"),))
    neighbours = list_neighbours([call, call])
    assert call not in neighbours
    assert len(set(neighbours)) == len(neighbours)
    paths = {other.path for other in neighbours}
    assert {"/cart/", "/cart/x", "/cartx", "/", "/CART", "//cart"} <= paths
    assert {other.headers for other in neighbours} >= {(), (("x-beta", "TRUE"),)}
    assert {other.method for other in neighbours} == {"GET", "POST"}
    for other in neighbours:
        parts = ("path", "method", "headers", "query")
        assert sum(getattr(other, part) != getattr(call, part) for part in parts) == 1


def compare_istiods(
    istiod: str, other: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[int, dict[str, Any]]:
    """Compare the same rules on two istiods; return the exit code and the report."""
    Path("shop.yaml").write_text(GATEWAY + RULE)
    sides = [f"shop.yaml@istiod:{path}" for path in (istiod, other)]
    code = main(["compare", *sides, "-o", "json"])
    output = capsys.readouterr()
    assert output.out, output.err
    return code, json.loads(output.out)


@pytest.mark.istiod
def test_what_one_of_two_istiods_has_otherwise_is_shown_with_its_config(
    pilot_discovery: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "newer"
    os.symlink(pilot_discovery, other)
    code, report = compare_istiods(pilot_discovery, other, capsys)
    assert (code, report["differences_of_meshes"], report["meshes_that_differ"]) == (0, [], [])
    assert report["requests"] > 60  # those of the cases, and the ones around them
    meshes = iter((False, True))

    def read_rules_anew(*arguments: Any) -> list[Placed]:
        placed = read_rules(*arguments)
        if next(meshes):
            (rule,) = (entry for entry in placed if entry.body["kind"] == "VirtualService")
            rule.body["spec"]["http"][0]["match"][0]["uri"] = {"exact": "/cart"}
        return placed

    monkeypatch.setattr(rule_mesh, "read_rules", read_rules_anew)
    code, report = compare_istiods(pilot_discovery, other, capsys)
    assert (code, report["changes"]) == (1, [])
    texts = [difference["request"] for difference in report["differences_of_meshes"]]
    assert all("x-beta: true" in text and "/cart" in text for text in texts), texts
    assert texts
    first = report["differences_of_meshes"][0]
    assert "from cart v2" in first["before"]
    assert "from cart.shop.v1" in first["after"]
    assert any('"/cart"' in place and "match" in place for place in first["config"]), first
