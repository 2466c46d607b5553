"""conformance.yaml: profiles of two levels, in the shape of Gateway API's ConformanceReport."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshproof.base.place import Place
from meshproof.reports import conformance
from meshproof.run.failure import Failure
from meshproof.run.record import Outcome, Result, Run
from meshproof.run.remark import Remark

LACKING = Result(
    "addon grafana",
    "",
    Outcome.NOT_SUPPORTED,
    reason="grafana is not installed",
    how_to_get="apt-get install grafana",
    features=("addon grafana",),
)
JAEGER = Result("addon jaeger", "", Outcome.PASSED, features=("addon jaeger",))
ROTATION = Result("default rotation", "", Outcome.PASSED)
V3_ONLY = Result(
    "v3 only", "", Outcome.PASSED, dialect="VirtualService", features=("http-weights",)
)
PLAINTEXT = Result(
    "plaintext is refused",
    "",
    Outcome.FAILED,
    dialect="PeerAuthentication",
    failure=Failure("200"),
    features=("mtls", "plaintext-probe"),
)


def read_report(run: Run, folder: Path) -> dict[str, Any]:
    conformance.Writer(folder).ended(run)
    report: dict[str, Any] = yaml.safe_load((folder / "conformance.yaml").read_text("utf-8"))
    return report


def build_run(base: Run, *results: Result) -> Run:
    return replace(base, results=list(results), supports=["http-weights", "mtls"])


def test_it_has_the_fields_of_a_conformance_report(empty_run: Run, tmp_path: Path) -> None:
    report = read_report(build_run(empty_run, ROTATION, V3_ONLY), tmp_path)
    assert report["apiVersion"] == "meshproof/v1alpha1"
    assert report["kind"] == "ConformanceReport"
    assert (report["mode"], report["date"]) == ("local", "2026-11-24T10:00:00+00:00")
    assert report["reproduce"] == "meshproof test --mesh local"
    assert (report["outcome"], report["exitCode"]) == ("passed", 0)
    assert report["profiles"] == [
        {
            "name": name,
            "summary": "Core tests succeeded.",
            "core": {
                "result": "success",
                "statistics": {"Failed": 0, "Passed": 1, "Skipped": 0},
            },
        }
        for name in ("mesh", "VirtualService")
    ]


def test_what_a_mesh_may_leave_out_is_extended(empty_run: Run, tmp_path: Path) -> None:
    run = build_run(empty_run, ROTATION, JAEGER, LACKING, PLAINTEXT)
    report = read_report(run, tmp_path)
    (profile,) = report["profiles"]
    assert profile["summary"] == "Core tests succeeded. Extended tests failed."
    assert profile["extended"] == {
        "result": "failure",
        "statistics": {"Failed": 1, "Passed": 1, "Skipped": 0},
        "failedTests": ["plaintext is refused (PeerAuthentication)"],
        "supportedFeatures": ["addon jaeger", "mtls"],
        "unsupportedFeatures": ["addon grafana"],
    }
    assert report["notSupported"] == [
        {
            "test": "addon grafana",
            "reason": "grafana is not installed",
            "howToGet": "apt-get install grafana",
        }
    ]


def test_a_feature_that_the_mesh_has_is_not_called_unsupported(
    empty_run: Run, tmp_path: Path
) -> None:
    lacking = replace(PLAINTEXT, outcome=Outcome.NOT_SUPPORTED, failure=None, reason="no probe")
    (profile,) = read_report(build_run(empty_run, lacking), tmp_path)["profiles"]
    extended = profile["extended"]
    assert extended["supportedFeatures"] == ["mtls"]
    assert extended["unsupportedFeatures"] == ["plaintext-probe"]


@pytest.mark.parametrize("outcome", [Outcome.SKIPPED, Outcome.NOT_SUPPORTED])
def test_a_level_that_did_not_all_run_is_no_success(
    empty_run: Run, tmp_path: Path, outcome: Outcome
) -> None:
    skipped = Result("productpage", "", outcome, reason="no reason")
    (profile,) = read_report(build_run(empty_run, ROTATION, skipped), tmp_path)["profiles"]
    assert profile["core"]["result"] == "partial"
    assert profile["core"]["skippedTests"] == ["productpage"]


@pytest.mark.parametrize(
    "shortcoming",
    [
        {"interrupted": True},
        {"error": "the mesh died"},
        {"planned": 30},
        {"unreached": [Remark(Place("a.yaml", 3), "no request reaches it")]},
    ],
    ids=lambda shortcoming: next(iter(shortcoming)),
)
def test_a_run_that_is_not_complete_is_no_success(
    empty_run: Run, tmp_path: Path, shortcoming: dict[str, Any]
) -> None:
    run = replace(build_run(empty_run, ROTATION, JAEGER), **shortcoming)
    (profile,) = read_report(run, tmp_path)["profiles"]
    assert (profile["core"]["result"], profile["extended"]["result"]) == ("partial", "partial")
    assert profile["summary"] == "Core tests did not all run. Extended tests did not all run."


def test_what_was_not_seen_to_work_is_not_called_supported(empty_run: Run, tmp_path: Path) -> None:
    silent = replace(JAEGER, outcome=Outcome.MESH_NOT_READY, failure=Failure("no answer"))
    (profile,) = read_report(build_run(empty_run, silent), tmp_path)["profiles"]
    extended = profile["extended"]
    assert extended["failedTests"] == ["addon jaeger"]
    assert (extended["supportedFeatures"], extended["unsupportedFeatures"]) == ([], [])


def test_a_level_over_nothing_is_no_success(empty_run: Run, tmp_path: Path) -> None:
    (profile,) = read_report(build_run(empty_run, LACKING), tmp_path)["profiles"]
    assert (profile["core"]["result"], profile["extended"]["result"]) == ("partial", "partial")
    assert profile["summary"] == "No test ran."


def test_the_cases_of_a_users_rules_are_a_profile(empty_run: Run, tmp_path: Path) -> None:
    case = Result("shop: /a", "", Outcome.INCONCLUSIVE, rule=Place("k8s/a.yaml", 3), route="a")
    (profile,) = read_report(build_run(empty_run, case), tmp_path)["profiles"]
    assert (profile["name"], profile["core"]["failedTests"]) == ("own rules", ["shop: /a"])


def test_names_from_strangers_stay_text(hostile_run: Run, tmp_path: Path) -> None:
    report = read_report(hostile_run, tmp_path)
    names = report["profiles"][0]["core"]["failedTests"]
    assert len(names) == len(hostile_run.results)
    for name in names:
        assert r"<script>alert(1)</script> & \x1b[31m\x00 \ud800" in name
    text = (tmp_path / "conformance.yaml").read_text("utf-8")
    assert not {"\x1b", "\x00", "\u202e", "\u2028"} & set(text)
