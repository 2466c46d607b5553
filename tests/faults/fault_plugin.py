"""A pytest plugin that plants a fault: `meshproof test -p fault_plugin --fault "details down"`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.planting import load_faults


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault", metavar="NAME", required=True, choices=sorted(load_faults()))


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        load_faults()[session.config.getoption("fault")].plant(patch)
        return (yield)
