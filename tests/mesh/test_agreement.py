"""The figure of agreement with istiod: told with its day, and called stale by what changed."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from meshproof.mesh.agreement import Agreement, compute_digests, read_agreement

DAY = date(2026, 12, 2)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with one source each."""
    for folder in ("oracle", "mesh/envoy", "rules/istio"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "part.py").write_text("A = 1\n")
    return tmp_path


def test_a_figure_is_kept_and_told_with_its_day(package: Path) -> None:
    figure = Agreement("", 0, "", {}).add("1.29.2", 500, DAY, package)
    figure.write(package / "agreement.ini")
    assert read_agreement(package / "agreement.ini") == figure
    assert figure.describe(package) == (
        "; on 500 generated sets of rules it did as istiod 1.29.2 does (2026-12-02)"
    )
    assert Agreement("", 0, "", {}).describe(package) == ""


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("oracle/part.py", "oracle"),
        ("mesh/envoy/part.py", "translator"),
        ("rules/istio/new.py", "reader"),
    ],
)
def test_a_figure_is_stale_once_a_source_has_changed(package: Path, file: str, name: str) -> None:
    figure = Agreement("", 0, "", {}).add("1.29.2", 500, DAY, package)
    (package / "mesh" / "other.py").write_text("A = 2\n")
    assert "stale" not in figure.describe(package)
    (package / file).write_text("A = 3\n")
    assert figure.describe(package).endswith(f"(2026-12-02; stale: changed since: {name})")


def test_sets_add_up_only_for_the_same_istiod_and_sources(package: Path) -> None:
    figure = Agreement("", 0, "", {}).add("1.29.2", 500, DAY, package)
    assert figure.add("1.29.2", 60, DAY, package).sets == 560
    assert figure.add("1.30.0", 60, DAY, package).sets == 60
    (package / "oracle" / "part.py").unlink()
    assert figure.add("1.29.2", 60, DAY, package).sets == 60


def test_the_sources_of_the_figure_are_there() -> None:
    assert len(set(compute_digests().values())) == 3


def test_a_mesh_that_is_loaded_does_not_read_the_figure() -> None:
    """Its sources are hashed only for the run that says it."""
    loaded = "meshproof.mesh.local.mesh, meshproof.mesh.echo.mesh"
    program = f"import sys, {loaded}\nassert 'meshproof.mesh.agreement' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
