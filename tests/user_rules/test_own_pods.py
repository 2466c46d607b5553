"""Requests with one key stay on one pod (consistentHash): proven, and seen wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import EndedCommand

RULES = Path(__file__).with_name("pods.yaml")
pytestmark = pytest.mark.local
Run = Callable[..., EndedCommand]

HEADER = "shop: path /header, kept by header x-user -> header"
COOKIE = "shop: path /cookie, kept by cookie session -> cookie"
QUERY = "shop: path /query, kept by query parameter user -> query"
SOURCE = "shop: path /source, kept by address of the client -> source"
FRONT = "front.example: any request, kept by header x-user -> shop header"
ALL = (HEADER, COOKIE, QUERY, SOURCE, FRONT)
STRAYED = "pods answered requests with one "
ONE_POD = "one pod answered, whatever the "

#: Fault -> the cases that fail, and what each says.
FAULTS = {
    "any pod for each request": dict.fromkeys(ALL, STRAYED),
    "pods by another header": dict.fromkeys(ALL, STRAYED),
    "pods by the authority": dict.fromkeys(ALL, ONE_POD),
    # A parameter of the query is in the path, so that this one cannot be told.
    "pods by the path": dict.fromkeys((HEADER, COOKIE, SOURCE, FRONT), ONE_POD),
    "no cookie made": {COOKIE: "no cookie session came back"},
    "cookie of an hour": {COOKIE: "the cookie session that came back is another"},
    "cookie below a path": {COOKIE: "the cookie session that came back is another"},
}


def run(meshproof: Run, fault: str) -> EndedCommand:
    faults = ["-p", "tests.user_rules.own_faults", "--own-fault", fault]
    return meshproof("test", "--rules", str(RULES), *faults)


def test_each_kind_of_key_passes(meshproof: Run) -> None:
    ended = run(meshproof, "nothing")
    assert ended.code == 0, ended.output
    assert [case for case in ended.results if "kept by" in case] == [*ALL]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_fails_the_cases_of_pods_and_no_others(meshproof: Run, fault: str) -> None:
    ended = run(meshproof, fault)
    assert ended.code == 1, ended.output
    assert set(ended.list_failed()) == set(FAULTS[fault])
    for case, words in FAULTS[fault].items():
        assert words in ended.results[case].message, ended.results[case].message
