"""`meshproof lint` says what of a folder no check looks at."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshproof import cli
from tests.manifest_text import write_head

RULE = write_head("VirtualService", "shop") + (
    "spec: {hosts: [shop], http: [{route: [{destination: {host: shop}}]}]}\n"
)


@pytest.mark.parametrize("output", ["text", "json", "sarif"])
def test_what_is_left_out_is_said_on_standard_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], output: str
) -> None:
    (tmp_path / "shop.yaml").write_text(RULE)
    (tmp_path / "copy.yaml").write_text(RULE.replace("shop", "cart"))
    (tmp_path / "kustomization.yaml").write_text("resources: [shop.yaml]\n")
    (tmp_path / "README.md").write_text("# Shop\n")
    assert cli.main(["lint", str(tmp_path), "-o", output]) == 0
    printed = capfd.readouterr()
    assert printed.err == "left out: 1 kustomization (kustomization.yaml), 1 other file (.md)\n"
    assert "left out:" not in printed.out


def test_nothing_is_said_where_nothing_is_left_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "shop.yaml").write_text(RULE)
    assert cli.main(["lint", str(tmp_path)]) == 0
    assert capfd.readouterr().err == ""


def test_a_folder_of_an_overlay_alone_is_nothing_to_check(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [../base]\n")
    assert cli.main(["lint", str(tmp_path)]) == 65
    assert "there is no Kubernetes object in this folder" in capfd.readouterr().out
