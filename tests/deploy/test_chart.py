"""The Helm chart and the image of the nightly run: what `meshproof rbac` prints, in other words."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshproof.cli import main, rights
from meshproof.mesh.cluster.api import pod_security
from tests import ROOT

CHART = ROOT / "deploy" / "chart"
FILES = {
    "cluster-rules.yaml": rights.list_cluster_rights("smoke", ()),
    "live-cluster-rules.yaml": tuple(
        right
        for right in rights.list_cluster_rights("smoke", ("shop",))
        if right not in rights.list_cluster_rights("smoke", ())
    ),
    "reading-rules.yaml": rights.list_reading_rights(),
}
Objects = dict[tuple[str, str, str], dict[str, Any]]


def read_objects(text: str) -> Objects:
    """Return the objects of a manifest by kind, namespace and name."""
    objects = [body for body in yaml.safe_load_all(text) if body]
    return {
        (body["kind"], body["metadata"].get("namespace", ""), body["metadata"]["name"]): body
        for body in objects
    }


@pytest.fixture(scope="module")
def helm() -> str:
    """The program: on PATH, or where `go install helm.sh/helm/v3/cmd/helm@latest` puts it."""
    program = shutil.which("helm") or shutil.which(str(Path.home() / "go/bin/helm"))
    if program is None:
        pytest.skip("there is no helm on this machine")
    return program


def template(helm: str, *arguments: str) -> Objects:
    """Return the objects that the chart makes."""
    command = [helm, "template", "nightly", str(CHART), "-n", "meshproof", *arguments]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return read_objects(process.stdout)


@pytest.mark.parametrize("name", FILES)
def test_the_chart_has_the_rights_of_a_run(name: str) -> None:
    rules = yaml.safe_load((CHART / "files" / name).read_text())
    assert rules == [right.rule for right in FILES[name]]


def test_the_chart_has_the_policy_of_a_run() -> None:
    policy, _ = rights.build_policy_objects("smoke", "meshproof", [])
    rules = yaml.safe_load((CHART / "files" / "policy-rules.yaml").read_text())
    assert rules == policy["spec"]["matchConstraints"]["resourceRules"]


@pytest.mark.parametrize("namespaces", [(), ("shop", "bank")], ids=["promises", "live rules"])
def test_helm_makes_what_rbac_prints(
    helm: str, namespaces: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [text for name in namespaces for text in ("--rules-from", name)]
    assert main(["rbac", "--namespace", "meshproof", "--cronjob", "--image", "x:1", *asked]) == 0
    printed = read_objects(capsys.readouterr().out)
    chosen = ("--set", f"rulesFrom={{{','.join(namespaces)}}}") if namespaces else ()
    made = template(helm, "--set", "image=x:1", *chosen)
    assert made == printed


INTENT = """\
# what is meant
intent:
- name: carts are "v1"
  request: {host: cart}
  to: cart v1
"""


def test_helm_mounts_the_same_intent_as_rbac(
    helm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "meshproof.yaml"
    file.write_text(INTENT)
    asked = ("--rules-from", "shop", "--intent", str(file))
    assert main(["rbac", "--namespace", "meshproof", "--cronjob", "--image", "x:1", *asked]) == 0
    printed = read_objects(capsys.readouterr().out)
    chosen = ("--set", "rulesFrom={shop}", "--set-file", f"intent={file}")
    assert template(helm, "--set", "image=x:1", *chosen) == printed
    assert printed["ConfigMap", "meshproof", "meshproof-intent"]["data"] == {
        "intent-1.yaml": INTENT
    }


def test_helm_keeps_the_reports_on_a_claim(helm: str) -> None:
    objects = template(helm, "--set", "image=x:1", "--set", "reports.size=1Gi")
    claim = objects["PersistentVolumeClaim", "meshproof", "meshproof-reports"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "1Gi"
    job = objects["CronJob", "meshproof", "meshproof-smoke"]
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert "/reports/meshproof-report" in container["command"]
    assert {"name": "reports", "mountPath": "/reports"} in container["volumeMounts"]
    assert pod["volumes"][1]["persistentVolumeClaim"] == {"claimName": "meshproof-reports"}


def test_helm_asks_for_an_image_and_finds_no_fault(helm: str) -> None:
    command = [helm, "template", "nightly", str(CHART)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert "say which image" in process.stderr
    linted = subprocess.run(
        [helm, "lint", "--strict", str(CHART), "--set", "image=x:1"], capture_output=True, text=True
    )
    assert linted.returncode == 0, linted.stdout


def test_the_image_runs_as_the_user_of_the_nightly_run() -> None:
    text = (ROOT / "Dockerfile").read_text()
    context = pod_security.POD_CONTEXT
    assert f"\nUSER {context['runAsUser']}:{context['runAsGroup']}\n" in text
    last_stage = re.split(r"^FROM ", text, flags=re.MULTILINE)[-1]
    assert "RUN" not in last_stage, "what runs as root belongs into the first stage"
    assert 'ENTRYPOINT ["meshproof"]' in last_stage
