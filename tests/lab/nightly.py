"""What the nightly tests share: users with rules of their own, and the rights of `rbac`."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.lab.commands import kubectl

USERS = "nightly-shop"
OPS = "nightly-ops"
#: Kinds of the users' objects that a nightly run reads, and of those beside them.
_KINDS = "all,virtualservices,destinationrules,gateways.networking.istio.io,configmaps"
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_IMAGE = "docker.io/library/python:3-alpine"


def _workload(version: str) -> dict[str, Any]:
    labels = {"app": "cart", "version": version}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"cart-{version}", "namespace": USERS},
        "spec": {
            "replicas": 0,  # what they answer is not what is asked
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "app", "image": _IMAGE}]},
            },
        },
    }


def _objects(second: str) -> list[dict[str, Any]]:
    """Return a Service with two versions; the header x-beta leads to the second one."""
    istio, metadata = "networking.istio.io/v1", {"name": "cart", "namespace": USERS}
    service = {"selector": {"app": "cart"}, "ports": [{"name": "http", "port": 80}]}
    subsets = [
        {"name": "v1", "labels": {"version": "v1"}},
        {"name": "v2", "labels": {"version": second}},
    ]
    routes = [
        {
            "name": "beta",
            "match": [{"headers": {"x-beta": {"exact": "yes"}}}],
            "route": [{"destination": {"host": "cart", "subset": "v2"}}],
        },
        {"name": "rest", "route": [{"destination": {"host": "cart", "subset": "v1"}}]},
    ]
    specs = [
        ("v1", "Service", service),
        (istio, "DestinationRule", {"host": "cart", "subsets": subsets}),
        (istio, "VirtualService", {"hosts": ["cart"], "http": routes}),
    ]
    bodies = [
        {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}
        for api, kind, spec in specs
    ]
    return [*bodies, _workload("v1"), _workload("v2")]


@contextlib.contextmanager
def users(second: str = "v2") -> Iterator[None]:
    """Have a user's namespace with rules; `second` is the version that subset v2 selects."""
    kubectl("create", "namespace", USERS)
    try:
        kubectl("apply", "-f", "-", text=yaml.safe_dump_all(_objects(second)))
        yield
    finally:
        kubectl("delete", "namespace", USERS, "--wait=true", "--timeout=90s")


@contextlib.contextmanager
def holding(name: str, file: Path) -> Iterator[str]:
    """Have a user's namespace with what a file holds."""
    kubectl("create", "namespace", name)
    try:
        kubectl("apply", "-n", name, "-f", str(file))
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=true", "--timeout=90s")


def stored(*namespaces: str) -> dict[str, Any]:
    """Return name -> the whole object, resourceVersion included, of what is in namespaces."""
    stored_bodies = {}
    for namespace in namespaces:
        items = json.loads(kubectl("get", _KINDS, "-n", namespace, "-o", "json"))["items"]
        for body in items:
            if _LEADER in body["metadata"].get("annotations", {}):
                continue  # istiod itself renews it every few seconds
            stored_bodies[f"{namespace} {body['kind']}/{body['metadata']['name']}"] = body
    assert stored_bodies, namespaces
    return stored_bodies


def printed(*arguments: str) -> list[dict[str, Any]]:
    """Return the objects that `meshproof rbac` prints."""
    command = [sys.executable, "-m", "meshproof", "rbac", "--namespace", OPS, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return list(yaml.safe_load_all(done.stdout))


@contextlib.contextmanager
def granted(*arguments: str, but: Callable[[Any], bool] | None = None) -> Iterator[None]:
    """Have what `meshproof rbac` prints in the cluster, in a namespace that is `restricted`.

    The rules of the ClusterRole for which `but` is true are taken away.
    """
    bodies = printed(*arguments)
    for body in bodies:
        if body["kind"] == "ClusterRole" and but is not None:
            other_rules = [rule for rule in body["rules"] if not but(rule)]
            assert len(other_rules) < len(body["rules"]), "nothing was taken away"
            body["rules"] = other_rules
    text = yaml.safe_dump_all(bodies)
    kubectl("create", "namespace", OPS)
    try:
        kubectl("label", "namespace", OPS, "pod-security.kubernetes.io/enforce=restricted")
        kubectl("apply", "-f", "-", text=text)
        yield
    finally:
        kubectl("delete", "--ignore-not-found", "-f", "-", text=text)
        kubectl("delete", "namespace", OPS, "--wait=true", "--timeout=90s")


@contextlib.contextmanager
def account(
    folder: Path, *arguments: str, but: Callable[[Any], bool] | None = None
) -> Iterator[str]:
    """Have what `meshproof rbac` prints; yield a kubeconfig with its account's token alone."""
    with granted(*arguments, but=but):
        yield _kubeconfig(folder)


def job(name: str, seconds: float = 240) -> str:
    """Wait until a Job of the CronJob's namespace has ended; return the log of its one pod."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        job_body = json.loads(kubectl("get", "job", name, "-n", OPS, "-o", "json"))
        ended = job_body.get("status", {}).get("conditions") or []
        if any(condition["type"] in ("Complete", "Failed") for condition in ended):
            return kubectl("logs", "-n", OPS, f"job/{name}")
        time.sleep(1)
    events = kubectl("get", "events", "-n", OPS)
    raise AssertionError(f"job {name} has not ended after {seconds:.0f} s:\n{events}")


def _kubeconfig(folder: Path) -> str:
    token = kubectl("create", "token", "meshproof", "-n", OPS, "--duration=20m")
    config = yaml.safe_load(kubectl("config", "view", "--raw", "--minify", "--flatten"))
    config["users"] = [{"name": config["contexts"][0]["context"]["user"], "user": {"token": token}}]
    path = folder / "kubeconfig-of-the-account"
    path.write_text(yaml.safe_dump(config))
    os.chmod(path, 0o600)
    return str(path)
