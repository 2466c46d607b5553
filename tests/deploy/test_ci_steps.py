"""The GitHub Action, the GitLab job and the pre-commit hook: their steps, run in a shell.

Only what pip would install is replaced: by the meshproof of this environment.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import ROOT

GOOD = """apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.example.com]
  http:
  - name: all
    route: [{destination: {host: shop}}]
"""
BROKEN = GOOD.replace("route:", "rewrite: {authority: x}\n    rout:")
#: `python3 -m venv FOLDER`: a folder whose Python notes what pip is asked for.
PYTHON = f"""#!/bin/sh
[ "$1 $2" = "-m venv" ] || exit 9
mkdir -p "$3/bin"
printf '#!/bin/sh\\nexec {sys.executable} -m meshproof "$@"\\n' >"$3/bin/meshproof"
printf '#!/bin/sh\\necho "$@" >>"$PIP_LOG"\\n' >"$3/bin/python"
chmod +x "$3/bin/python" "$3/bin/meshproof"
"""


@dataclass
class Runner:
    """A runner of CI: a checkout with rules, a folder for temporary files, variables."""

    checkout: Path
    temporary: Path

    @property
    def variables(self) -> dict[str, str]:
        """What the server sets."""
        return {
            "PATH": f"{self.temporary / 'bin'}:{os.environ['PATH']}",
            "HOME": os.environ.get("HOME", "/"),
            "PIP_LOG": str(self.temporary / "pip.log"),
            "RUNNER_TEMP": str(self.temporary),
            "TMPDIR": str(self.temporary),
            "GITHUB_OUTPUT": str(self.temporary / "outputs"),
            "GITHUB_STEP_SUMMARY": str(self.temporary / "summary.md"),
        }

    def run(
        self, script: str, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a script as GitHub runs `shell: bash`."""
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script],
            cwd=self.checkout,
            env={**self.variables, **(variables or {})},
            capture_output=True,
            text=True,
        )

    def read(self, name: str) -> str:
        """Return a temporary file."""
        return (self.temporary / name).read_text()


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    runner = Runner(tmp_path / "checkout", tmp_path / "temporary")
    (runner.checkout / "my rules").mkdir(parents=True)
    (runner.temporary / "bin").mkdir(parents=True)
    python = runner.temporary / "bin" / "python3"
    python.write_text(PYTHON)
    python.chmod(0o755)
    return runner


def run_action(runner: Runner, **given: str) -> subprocess.CompletedProcess[str]:
    """Run the steps of the action until one fails; return the last."""
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    values = {f"inputs.{name}": item["default"] for name, item in action["inputs"].items()}
    values |= {f"inputs.{name}": value for name, value in given.items()}
    values["github.action_path"] = "/the/action"
    for step in action["runs"]["steps"]:
        assert step["shell"] == "bash"
        assert "${{" not in step["run"], "an input in a script runs as a command"
        variables = {
            name: re.sub(r"\$\{\{ (\S+) \}\}", lambda found: values[found[1]], text)
            for name, text in step["env"].items()
        }
        process = runner.run(step["run"], variables)
        if process.returncode:
            break
    return process


def test_the_action_annotates_a_mistake_and_fails(runner: Runner) -> None:
    (runner.checkout / "my rules" / "shop.yaml").write_text(BROKEN)
    process = run_action(runner, rules="my rules\n", report="the reports")
    assert process.returncode == 1, process.stderr
    assert "::error file=my rules/shop.yaml,line=9," in process.stdout
    outputs = dict(line.split("=") for line in runner.read("outputs").splitlines())
    assert outputs == {"report": "the reports", "exit-code": "1"}
    assert runner.read("pip.log") == "-m pip install --quiet /the/action\n"
    assert "### meshproof: Failed" in runner.read("summary.md")
    assert (runner.checkout / "the reports" / "junit.xml").exists()


@pytest.mark.local
def test_the_action_passes_rules_that_hold(runner: Runner) -> None:
    (runner.checkout / "my rules" / "shop.yaml").write_text(GOOD)
    process = run_action(runner, rules="my rules", arguments="--budget=900\n-v")
    assert process.returncode == 0, process.stdout + process.stderr
    assert "exit-code=0" in runner.read("outputs")
    assert "Kept:" in process.stdout or "Passed:" in process.stdout


def test_an_argument_is_no_command_of_the_shell(runner: Runner) -> None:
    run_action(runner, rules="$(touch injected)", arguments="`touch injected`\n; touch injected")
    assert not (runner.checkout / "injected").exists()
    assert "exit-code=" in runner.read("outputs")


def read_gitlab_job() -> dict[str, Any]:
    job: dict[str, Any] = yaml.safe_load((ROOT / "deploy/gitlab.yml").read_text())[".meshproof"]
    return job


def test_the_gitlab_job_keeps_its_reports_and_fails(runner: Runner) -> None:
    (runner.checkout / "shop.yaml").write_text(BROKEN)
    job = read_gitlab_job()
    home = str(runner.temporary / "meshproof")
    variables = {**job["variables"], "MESHPROOF_HOME": home, "MESHPROOF_RULES": "shop.yaml"}
    process = runner.run("\n".join(job["before_script"] + job["script"]), variables)
    assert process.returncode == 1, process.stderr
    assert runner.read("pip.log") == "-m pip install --quiet meshproof\n"
    reports = job["artifacts"]["reports"]
    (problem,) = json.loads((runner.checkout / reports["codequality"]).read_text())
    assert problem["location"] == {"path": "shop.yaml", "lines": {"begin": 9}}
    for path in (*job["artifacts"]["paths"], reports["junit"]):
        assert (runner.checkout / path).exists(), path


@pytest.mark.parametrize(("rules", "code"), [(GOOD, 0), (BROKEN, 79)], ids=["good", "broken"])
def test_the_pre_commit_hook_lints_the_checkout(runner: Runner, rules: str, code: int) -> None:
    (runner.checkout / "my rules" / "shop.yaml").write_text(rules)
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    command = [*shlex.split(hook["entry"]), *hook["args"]]
    assert command[0] == "meshproof"
    assert not hook["pass_filenames"]
    process = runner.run(shlex.join([sys.executable, "-m", *command]))
    assert process.returncode == code, process.stdout + process.stderr
    assert ("my rules/shop.yaml:9" in process.stdout) is bool(code)
