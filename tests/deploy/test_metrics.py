"""metrics.prom, the alert rules and the dashboard that read it, by Prometheus' own promtool."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from meshproof.reports import history, prometheus
from meshproof.run.record import Run
from tests import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"


@pytest.fixture
def promtool() -> str:
    """The program: on PATH, or where CI unpacks Debian's package."""
    cached = Path.home() / ".cache/meshproof-addons/usr/bin/promtool"
    program = shutil.which("promtool") or shutil.which(str(cached))
    if program is None:
        pytest.skip("there is no promtool on this machine")
    return program


def write_metrics(run: Run, folder: Path) -> str:
    prometheus.Writer(folder).ended(run)
    return (folder / "metrics.prom").read_text()


@pytest.mark.parametrize("name", ["mixed_run", "green_run", "empty_run", "hostile_run"])
def test_promtool_finds_no_fault(
    promtool: str, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    metrics = write_metrics(request.getfixturevalue(name), tmp_path)
    command = [promtool, "check", "metrics"]
    process = subprocess.run(command, input=metrics, capture_output=True, text=True)
    assert (process.returncode, process.stdout + process.stderr) == (0, "")


def test_the_outcome_of_each_promise_and_its_shares(mixed_run: Run, tmp_path: Path) -> None:
    lines = write_metrics(mixed_run, tmp_path).splitlines()
    promise = 'mesh="local",promise="split half (VirtualService)"'
    check = f'{promise},check="orders is half and half"'
    assert f'meshproof_check_outcome{{{promise},outcome="failed"}} 1' in lines
    assert f'meshproof_check_outcome{{{promise},outcome="passed"}} 0' in lines
    values = dict(line.rsplit(" ", 1) for line in lines)
    version = f'{{{check},version="v1"}}'
    share = float(values[f"meshproof_check_share_ratio{version}"])
    low = float(values[f"meshproof_check_share_low_ratio{version}"])
    high = float(values[f"meshproof_check_share_high_ratio{version}"])
    assert 0.5 < low < share < high < 0.7
    assert values[f"meshproof_check_share_declared_ratio{version}"] == "0.5"
    assert values[f"meshproof_check_requests{{{check}}}"] == "1010"
    assert values['meshproof_run_duration_seconds{mesh="local"}'] == "29.6"
    assert values['meshproof_run_exit_code{mesh="local"}'] == "1"


def test_the_last_success_is_that_of_the_history(
    mixed_run: Run, green_run: Run, tmp_path: Path
) -> None:
    success = 'meshproof_last_success_timestamp_seconds{mesh="local"} 1763978400'
    assert "last_success" not in write_metrics(mixed_run, tmp_path)
    earlier = Run.from_json(green_run.to_json())
    earlier.started = "2025-11-24T10:00:00+00:00"
    history.Writer(tmp_path).ended(earlier)
    history.Writer(tmp_path).ended(mixed_run)
    assert success in write_metrics(mixed_run, tmp_path).splitlines()


def test_promtool_tests_the_alerts(promtool: str) -> None:
    command = [promtool, "test", "rules", "alerts.test.yaml"]
    process = subprocess.run(command, cwd=PROMETHEUS, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr


def test_dashboard_and_alerts_ask_for_metrics_that_there_are(
    mixed_run: Run, green_run: Run, tmp_path: Path
) -> None:
    metrics = write_metrics(mixed_run, tmp_path) + write_metrics(green_run, tmp_path)
    names = set(re.findall(r"^(meshproof_\w+)", metrics, re.MULTILINE))
    dashboard = json.loads((ROOT / "deploy/grafana/dashboard.json").read_text())
    asked = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    shown = set(re.findall(r"meshproof_\w+", asked))
    alerts = set(re.findall(r"meshproof_\w+", (PROMETHEUS / "alerts.yaml").read_text()))
    assert alerts <= names
    assert shown <= names
    assert names - shown == {"meshproof_run_exit_code", "meshproof_run_timestamp_seconds"}
