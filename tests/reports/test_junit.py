import xml.etree.ElementTree as ET
from pathlib import Path

import junitparser
import pytest

from meshproof.base.place import Place
from meshproof.reports import junit
from meshproof.run.record import Outcome, Result, Run


def write_junit(run: Run, folder: Path) -> ET.Element:
    junit.Writer(folder).ended(run)
    return ET.parse(folder / "junit.xml").getroot()


def test_each_outcome_has_its_element(mixed_run: Run, tmp_path: Path) -> None:
    suite = write_junit(mixed_run, tmp_path)[0]
    cases = {case.attrib["name"]: case for case in suite.iter("testcase")}
    endings = {
        name: [(end.tag, end.attrib["type"]) for end in case if end.tag != "properties"]
        for name, case in cases.items()
    }
    assert endings == {
        "v3 only (VirtualService)": [],
        "cookie user=burr (RouteRule)": [],
        "split half (VirtualService)": [("failure", "failed")],
        "split half (RouteRule)": [("failure", "failed")],
        "default rotation": [("failure", "inconclusive")],
        "addon grafana": [("skipped", "not supported")],
        "own rules": [("skipped", "skipped")],
        "productpage": [("error", "mesh not ready")],
    }
    totals = {name: suite.attrib[name] for name in ("tests", "failures", "errors", "skipped")}
    assert totals == {"tests": "8", "failures": "3", "errors": "1", "skipped": "2"}


def test_junitparser_reads_it_back(mixed_run: Run, tmp_path: Path) -> None:
    junit.Writer(tmp_path).ended(mixed_run)
    (suite,) = junitparser.JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert [case.name for case in suite] == [result.name for result in mixed_run.results]
    properties = suite.properties()  # type: ignore[no-untyped-call]  # bare in junitparser
    assert {item.name: item.value for item in properties}["mesh"] == "local"
    failed = next(case for case in suite if case.is_failure)
    assert failed.classname == "meshproof.split half"
    assert failed.time == 3.02
    for part in ("split_half/v1.yaml:21", "v1 50 %", "1010 answers", "curl -s", "diagnosis/"):
        assert part in failed.result[0].text


def test_every_check_has_its_figures(green_run: Run, tmp_path: Path) -> None:
    case = next(write_junit(green_run, tmp_path).iter("testcase"))
    figures = {item.attrib["name"]: item.attrib["value"] for item in case.iter("property")}
    assert figures["reviews is v3 only: n"] == "688"
    assert figures["reviews is v3 only: counts"] == "v1=0 v2=0 v3=688"
    assert figures["reviews is v3 only: expected"] == "v1=0 v2=0 v3=1"
    assert figures["reviews is v3 only: bound"] == "leak below 1 %"
    assert figures["reviews is v3 only: beta"] == "0.001"


def test_each_file_of_the_users_rules_has_its_suite(green_run: Run, tmp_path: Path) -> None:
    run = Run.from_json(green_run.to_json())
    run.results += [
        Result(name, "", Outcome.PASSED, rule=Place(f"k8s/{file}", line), route="r", seconds=0.5)
        for name, file, line in (("a", "x.yaml", 3), ("b", "y.yaml", 4), ("c", "x.yaml", 5))
    ]
    suites = {
        suite.attrib["name"]: list(suite.iter("testcase")) for suite in write_junit(run, tmp_path)
    }
    assert {name: [case.attrib["name"] for case in cases] for name, cases in suites.items()} == {
        "meshproof": ["v3 only (VirtualService)", "cookie user=burr (RouteRule)"],
        "k8s/x.yaml": ["a", "c"],
        "k8s/y.yaml": ["b"],
    }
    places = [(case.attrib["file"], case.attrib["line"]) for case in suites["k8s/x.yaml"]]
    assert places == [("k8s/x.yaml", "3"), ("k8s/x.yaml", "5")]


def test_a_red_run_of_user_rules_alone_has_no_empty_suite(empty_run: Run, tmp_path: Path) -> None:
    run = Run.from_json(empty_run.to_json())
    run.results.append(Result("a", "", Outcome.FAILED, rule=Place("k8s/x.yaml", 3), route="r"))
    assert [suite.attrib["name"] for suite in write_junit(run, tmp_path)] == ["k8s/x.yaml"]


def test_a_run_over_nothing_is_red(empty_run: Run, tmp_path: Path) -> None:
    (failure,) = write_junit(empty_run, tmp_path).iter("failure")
    assert failure.attrib["message"] == "Inconclusive: nothing was checked"


def test_a_run_that_only_skips_is_red(empty_run: Run, tmp_path: Path) -> None:
    skipped = Result("own rules", "", Outcome.SKIPPED, reason="no --rules given")
    run = Run.from_json(empty_run.to_json())
    run.results.append(skipped)
    assert len(list(write_junit(run, tmp_path).iter("failure"))) == 1


def test_a_green_run_has_nothing_red(green_run: Run, tmp_path: Path) -> None:
    root = write_junit(green_run, tmp_path)
    assert not [*root.iter("failure"), *root.iter("error"), *root.iter("skipped")]


@pytest.mark.parametrize("spelled", [r"\x1b[31m", r"\x00", r"\ud800", "<script>"])
def test_what_xml_forbids_is_spelled_out(hostile_run: Run, tmp_path: Path, spelled: str) -> None:
    case = next(write_junit(hostile_run, tmp_path).iter("testcase"))
    assert spelled in case.attrib["name"]
    assert spelled in case.findtext("failure", "")
