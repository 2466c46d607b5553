"""Processes of the run's own that end: the mesh is not ready then, and no promise is broken.

A proxy that crashes by itself on the rules it was given is a finding all the same.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest

from meshproof.mesh.echo.mesh import EchoMesh
from meshproof.mesh.local.mesh import LocalMesh
from meshproof.mesh.process import processes
from meshproof.mesh.protocol import Served
from meshproof.rules.model import RuleSet
from tests.faults.doctored_manifests import run_after_deploy
from tests.faults.planting import fault

_TWO_CASES = f"--rules={Path(__file__).parent / 'rules' / 'two_cases.yaml'}"
_SOME = ("productpage", "default rotation", "v3 only")
_SOME_TESTS = "-k=productpage or rotation or v3_only"


def kill_process(run_folder: Path, is_victim: Callable[[psutil.Process], bool]) -> None:
    """Kill the one process of a run that is the victim, and wait for its end."""
    (victim,) = filter(is_victim, processes.find_run_processes(run_folder))
    victim.kill()
    while victim.is_running() and victim.status() != psutil.STATUS_ZOMBIE:
        pass


def is_app(process: psutil.Process, pod: str) -> bool:
    return process.environ().get("HOSTNAME") == pod and "envoy" not in process.name()


def is_envoy(process: psutil.Process, name: str) -> bool:
    return f"/{name}/bootstrap.json" in " ".join(process.cmdline())


@fault(
    "an app of the run that was killed",
    _SOME_TESTS,
    exit_code=69,
    not_ready=dict.fromkeys(_SOME, r"^details-v1-0 was ended by signal 9 \(Killed\)"),
)
def app_killed(patch: pytest.MonkeyPatch) -> None:
    def kill(mesh: LocalMesh) -> None:
        kill_process(mesh.workspace.path, lambda process: is_app(process, "details-v1-0"))

    run_after_deploy(patch, kill)


@fault(
    "a sidecar of the run that was killed",
    _SOME_TESTS,
    exit_code=69,
    not_ready=dict.fromkeys(_SOME, r"^details-v1-0\.envoy was ended by signal 9 \(Killed\)"),
)
def sidecar_killed(patch: pytest.MonkeyPatch) -> None:
    def kill(mesh: LocalMesh) -> None:
        kill_process(mesh.workspace.path, lambda process: is_envoy(process, "details-v1-0"))

    run_after_deploy(patch, kill)


@fault(
    "echo workloads of the run that were killed",
    _TWO_CASES,
    exit_code=69,
    not_ready=dict.fromkeys(
        (
            "cart: path /sale -> sale",
            "cart: path /salex (and more) -> sale",
            "cart: path /sal (one character short) -> any version",
            "cart: path /SALE (in other case) -> any version",
            "cart: path /x/sale (with something before it) -> any version",
            "cart: path /meshproof-other (something else) -> any version",
            "cart: any other request -> any version",
            "cart: host cart -> any version",
            "cart: host cart:80 -> any version",
        ),
        r"^echo\.envoy was ended by signal 9 \(Killed\)",
    ),
)
def echo_killed(patch: pytest.MonkeyPatch) -> None:
    serve = EchoMesh._serve

    def serve_and_kill(mesh: EchoMesh) -> None:
        serve(mesh)
        kill_process(mesh._workspace.path, lambda process: is_envoy(process, "echo"))

    patch.setattr(EchoMesh, "_serve", serve_and_kill)


@fault(
    "a proxy that crashes on the rules it was given",
    "-k=rotation or (v3_only and v1alpha2) or split_half",
    failed={"v3 only": r"the proxy crashed on these rules: istio-ingressgateway\.envoy was ended"},
    not_ready={"split half": r"istio-ingressgateway\.envoy was ended by signal 11"},
)
def proxy_crashes(patch: pytest.MonkeyPatch) -> None:
    applied = LocalMesh.applied

    def apply(mesh: LocalMesh, rules: RuleSet) -> AbstractContextManager[Served]:
        os.kill(mesh.workspace.processes["istio-ingressgateway.envoy"], signal.SIGSEGV)
        return applied(mesh, rules)

    patch.setattr(LocalMesh, "applied", apply)
