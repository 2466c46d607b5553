"""A promise's rules say the same in each dialect, as far as the dialects can."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from meshproof import manifests, rules
from meshproof.rules.model import Route, RouteTable, RuleSet

FOLDERS = sorted(path.name for path in Path(str(files("meshproof.manifests"))).glob("rules/*"))
TWO = [folder for folder in FOLDERS if len(manifests.dialects(folder)) > 1]


def read(folder: str, dialect: str) -> RuleSet:
    return rules.read_rules(manifests.rules(folder, dialect))


def routes(table: RouteTable) -> tuple[Route, ...]:
    """Return the routes; of a VirtualService without the one that says what RouteRules imply."""
    last = table.routes[-1]
    plain = not last.matches and [target.labels for target in last.split] == [()]
    implied = table.gateways is not None and plain and last.split[0].host in table.hosts
    return table.routes[:-1] if implied else table.routes


def test_folders_are_found() -> None:
    assert {"cookie_burr", "split_half", "v3_only"} <= set(TWO)


@pytest.mark.parametrize("folder", TWO)
def test_both_dialects_have_the_same_routes(folder: str) -> None:
    first, second = (read(folder, dialect) for dialect in manifests.dialects(folder))
    assert {first.dialect, second.dialect} == {"VirtualService", "RouteRule"}
    assert [table.hosts for table in first.tables] == [table.hosts for table in second.tables]
    for first_table, second_table in zip(first.tables, second.tables, strict=True):
        assert routes(first_table), "no route is left to compare"
        assert routes(first_table) == routes(second_table)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_can_be_read(folder: str) -> None:
    assert all(not read(folder, dialect).is_empty for dialect in manifests.dialects(folder))
