from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meshproof.mesh.addons import list_addons
from meshproof.run.record import Outcome

OFF = [part for name in list_addons() for part in ("--mesh-addon", f"{name}=off")]


def test_every_addon_of_the_design_is_known() -> None:
    assert set(list_addons()) == {"prometheus", "grafana", "service-graph", "zipkin", "jaeger"}


def test_one_that_is_missing_is_named_and_never_passed(addon_run: Callable[..., Any]) -> None:
    ended = addon_run("rotation or addon", *OFF)
    assert ended.code == 0, ended.output
    for name in list_addons():
        assert ended.results[f"addon {name}"].outcome is Outcome.NOT_SUPPORTED
        assert "switched off" in ended.results[f"addon {name}"].message


def test_how_to_get_it_is_said(
    addon_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("ZIPKIN_JAR", raising=False)
    ended = addon_run("addon")
    assert ended.code == 3, "nothing was checked, so nothing is green"
    assert "apt-get install prometheus" in ended.results["addon prometheus"].message
    assert "mvn dependency:copy" in ended.results["addon zipkin"].message
    assert "needs" in ended.results["addon service-graph"].message or "cluster" in ended.output


def test_one_that_is_required_must_be_there(addon_run: Callable[..., Any]) -> None:
    ended = addon_run("grafana", "--mesh-addon", "grafana=off", "--mesh-require-addon", "grafana")
    assert ended.code == 69, ended.output
    assert ended.results["addon grafana"].outcome is Outcome.MESH_NOT_READY


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("promtheus=off", "did you mean 'prometheus'?"),
        ("prometheus", "expected NAME=PATH"),
        ("prometheus=/nowhere/prometheus", "is not a program"),
        ("zipkin=/nowhere/zipkin.jar", "there is no file"),
    ],
)
def test_a_wrong_option_ends_with_64(
    addon_run: Callable[..., Any], option: str, message: str
) -> None:
    ended = addon_run("addon", "--mesh-addon", option)
    assert ended.code == 64, ended.output
    assert message in ended.output
    assert "Traceback" not in ended.output
