"""Commands on the lab, as its users type them. Runs inside `lab exec`: KUBECONFIG is set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from meshproof.run.record import Outcome, Run

#: Seconds that one run may take; they take less than one minute each on a free machine.
LONGEST = 400
#: A secret that an app of a planted fault is given and tells in its log.
PLANTED = "hunter2-Zq9"
#: Options for an Istio as the lab has it (its manifests/istio.yaml): without filters of its own.
ISTIO_OF_THE_LAB = (
    *("--mesh-install-hub", "localhost/lab", "--mesh-install-tag", "1"),
    *("--mesh-install-set", "values.telemetry.enabled=false"),
    *("--mesh-install-set", "values.pilot.env.PILOT_ENABLE_METADATA_EXCHANGE=false"),
    *("--mesh-install-set", "values.pilot.env.PILOT_ENABLE_ALPN_FILTER=false"),
    *("--mesh-install-set", "values.pilot.resources.requests.cpu=50m"),
    *("--mesh-install-set", "values.pilot.resources.requests.memory=128Mi"),
    *("--mesh-install-set", "values.global.proxy.resources.requests.cpu=10m"),
    *("--mesh-install-set", "values.global.proxy.resources.requests.memory=64Mi"),
)
#: Kinds of which a run makes objects, or might.
KINDS = (
    *("namespaces", "pods", "services", "deployments", "serviceaccounts", "roles"),
    *("rolebindings", "clusterroles", "clusterrolebindings", "cronjobs", "jobs"),
    *("gateways.networking.istio.io", "virtualservices", "destinationrules"),
    *("peerauthentications", "sidecars.networking.istio.io", "serviceentries"),
)


def kubectl(*arguments: str, text: str = "") -> str:
    """Return what kubectl prints. Raises CalledProcessError when it fails."""
    done = subprocess.run(
        ["kubectl", *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode:
        raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr}")
    return done.stdout.strip()


@dataclass
class Ended:
    """A run that has ended: its exit code, all that it printed and its record."""

    code: int
    output: str
    run: Run
    pid: int

    def outcomes(self, dialect: str) -> dict[str, str]:
        """Return promise -> outcome of the results in a dialect, without what is not supported."""
        return {
            result.promise: str(result.outcome)
            for result in self.run.results
            if result.dialect == dialect and result.outcome is not Outcome.NOT_SUPPORTED
        }

    def message(self, promise: str) -> str:
        """Return the message of the one result of a promise that did not pass."""
        messages = [
            result.message
            for result in self.run.results
            if result.promise == promise and result.message
        ]
        reasons = [message for message in messages if "not support" not in message]
        assert len(reasons) == 1, f"{promise}: {messages}\n{self.output}"
        return reasons[0]


def begun(*arguments: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a run in a folder; its report goes there, too."""
    return subprocess.Popen(
        [sys.executable, "-m", "meshproof", *arguments, "--report", str(folder / "report")],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def meshproof(*arguments: str, folder: Path, **environment: str) -> Ended:
    """Run the command in a folder until it ends."""
    with begun(*arguments, folder=folder, **environment) as started:
        output, _ = started.communicate(timeout=LONGEST)
    record = folder / "report" / "run.json"
    assert record.exists(), output
    return Ended(started.returncode, output, Run.from_json(record.read_text()), started.pid)


def list_leftovers(ended: Ended) -> list[str]:
    """Return the namespaces of a run that are still there."""
    return of_process(ended.pid)


def of_process(pid: int) -> list[str]:
    """Return the namespaces of the run of a process; its owner's folder tells whose."""
    bodies = json.loads(kubectl("get", "namespaces", "-o", "json"))["items"]
    owner = f"/run-{pid}-"
    return [
        body["metadata"]["name"]
        for body in bodies
        if owner in body["metadata"].get("annotations", {}).get("meshproof/owner", "")
    ]


def snapshot() -> set[str]:
    """Return the objects of the kinds that a run makes, with their uid, but for those of runs."""
    columns = "custom-columns=K:.kind,N:.metadata.namespace,NAME:.metadata.name,UID:.metadata.uid"
    lines_text = kubectl("get", ",".join(KINDS), "-A", "--no-headers", "-o", columns)
    return {" ".join(line.split()) for line in lines_text.splitlines() if " meshproof-" not in line}


def everything() -> set[str]:
    """Return every object of every kind that can be listed and deleted, with uid and generation.

    A generation changes with what an object says, not with its status. Events and Leases come and
    go by themselves.
    """
    names = kubectl("api-resources", "--verbs=list,delete", "-o", "name").split()
    kinds = [name for name in names if name.partition(".")[0] not in ("events", "leases")]
    assert len(kinds) > 30, kinds
    columns = (
        "custom-columns=K:.kind,N:.metadata.namespace,NAME:.metadata.name,UID:.metadata.uid,"
        "G:.metadata.generation"
    )
    lines_text = kubectl("get", ",".join(kinds), "-A", "--no-headers", "-o", columns)
    return {" ".join(line.split()) for line in lines_text.splitlines()}
