"""Makes pytest's own report of --junitxml hold what ours does: places, figures, a suite per file.

A test passes its place and figures on as properties of its report, so that pytest-xdist's workers
can. pytest drops `file` and `line` from a report of the default family: they are set in the file.
"""

from __future__ import annotations

import os
import sys
import xml.etree.ElementTree as ET
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from meshproof.plugin.evidence import Evidence

#: Properties of a test case: the file of its rule and the line there.
_FILE, _LINE = "meshproof rule file", "meshproof rule line"
#: The same: the suite of the file of a user's rules that the case is of.
_SUITE = "meshproof suite"
#: Attribute of a suite -> the element of its cases that it counts.
_COUNTED = {"tests": "", "failures": "failure", "errors": "error", "skipped": "skipped"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, object, object]:
    """Add the properties to the last report of a test: pytest's writer takes them from there."""
    module = sys.modules.get("meshproof.plugin.evidence")  # not imported: a run may not use us
    if module and call.when == "teardown" and item.config.getoption("xmlpath", None):
        for name_and_value in _list_properties(module.get_evidence(item)):
            if name_and_value not in item.user_properties:  # a test that is run again has them
                item.user_properties.append(name_and_value)
    return (yield)


def _list_properties(evidence: Evidence) -> Iterator[tuple[str, object]]:
    """Yield the properties of a test: figures of its checks, place of its rule, lint's remarks."""
    from meshproof.base.escaping import escape_line
    from meshproof.run.figures import list_check_figures

    for check in evidence.checks:
        for name, value in list_check_figures(check):
            yield escape_line(name), escape_line(value)
    if evidence.rule:
        file = escape_line(evidence.rule.file)
        yield from ((_FILE, file), (_LINE, evidence.rule.line))
        if not evidence.dialect:
            yield _SUITE, file
    for warning in evidence.warnings:
        yield "lint", escape_line(str(warning))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """Set places in the file that pytest has written, and give each file of rules its suite."""
    ended = yield
    option = session.config.getoption("xmlpath", None)
    if option and not hasattr(session.config, "workerinput"):
        path = Path(os.path.expanduser(os.path.expandvars(option)))  # as pytest reads it
        with suppress(OSError, ET.ParseError):  # pytest has said why there is no report
            if not path.is_symlink() and _FILE.encode() in path.read_bytes():
                _complete_report(path)
    return ended


def _complete_report(path: Path) -> None:
    """Set `file` and `line` of each case with a rule, and move those of user rules to suites."""
    from meshproof.base.files import write_atomically

    document = ET.parse(path)  # nosec B314: pytest has just written it
    root = document.getroot()
    suites: dict[str, ET.Element] = {}
    for suite in list(root.iter("testsuite")):
        for case in suite.findall("testcase"):
            if file := _read_property(case, _FILE):
                case.attrib |= {"file": file, "line": _read_property(case, _LINE)}
            if name := _read_property(case, _SUITE):
                suite.remove(case)
                if name not in suites:
                    suites[name] = ET.SubElement(root, "testsuite", {**suite.attrib, "name": name})
                suites[name].append(case)
        _count_cases(suite)
    for suite in suites.values():
        _count_cases(suite)
    write_atomically(path, ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _read_property(case: ET.Element, name: str) -> str:
    """Return the value of a property of a case, "" where it has none of that name."""
    properties = case.iterfind("properties/property")
    return next((node.get("value", "") for node in properties if node.get("name") == name), "")


def _count_cases(suite: ET.Element) -> None:
    """Set the totals of a suite to those of the cases that it has."""
    cases = suite.findall("testcase")
    for attribute, element in _COUNTED.items():
        count = sum(not element or case.find(element) is not None for case in cases)
        suite.set(attribute, str(count))
    suite.set("time", f"{sum(float(case.get('time', 0)) for case in cases):.3f}")
