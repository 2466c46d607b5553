"""The constraints for pip follow from pyproject.toml: no version is written twice by hand."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.versions import dependencies

ROOT = Path(__file__).parents[2]
DECLARED = [
    Requirement(text)
    for text in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
]


def test_the_constraints_fit_the_dependencies() -> None:
    pinned = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    )
    for dependency in DECLARED:
        assert dependency.specifier.contains(pinned[dependency.name]), str(dependency)


def test_the_lowest_versions_are_those_of_the_project() -> None:
    lowest = [Requirement(text) for text in dependencies.list_lowest_versions()]
    assert [requirement.name for requirement in lowest] == [
        requirement.name for requirement in DECLARED
    ]
    for pinned, dependency in zip(lowest, DECLARED, strict=True):
        (version,) = [bound.version for bound in pinned.specifier]
        assert dependency.specifier.contains(version)
        assert f">={version}" in str(dependency.specifier)


def test_what_is_installed_is_pinned_with_all_that_it_needs() -> None:
    lines = list(dependencies.list_installed_versions())
    names = [line.partition("==")[0] for line in lines]
    assert {dependency.name for dependency in DECLARED} < set(names)
    assert "numpy" in names
    assert "meshproof" not in names
    assert names == sorted(names)


@pytest.mark.parametrize(("kind", "first"), [("lowest", "cryptography=="), ("installed", "# ")])
def test_the_file_is_written(tmp_path: Path, kind: str, first: str) -> None:
    dependencies.write_constraints(kind, tmp_path / "constraints.txt")
    lines = (tmp_path / "constraints.txt").read_text().splitlines()
    assert lines[0].startswith(first)
    assert any(line.startswith("scipy==") for line in lines)
