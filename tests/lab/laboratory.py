"""The lab: a real Kubernetes with a real Istio on this machine (its README says how it is made).

    python tests/lab/laboratory.py LAB pytest -m lab           up, with our images; that; down
    python tests/lab/laboratory.py --bare LAB pytest -m bare   the same, without an Istio

LAB is the lab's program. A lab that is up already is used and stays up.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

import meshproof.manifests as manifests
from meshproof import apps

APPS = Path(apps.__file__).parent
#: What the probe runs on: any image with Python 3 does, the lab's own among them.
PYTHON = "docker.io/library/python:3-alpine"
#: The image of this project itself.
MESHPROOF = "registry.example/meshproof:lab"
ROOT = Path(__file__).parents[2]
#: Seconds: the first build makes Kubernetes and Istio from their sources.
BUILD, UP, LOAD = 3600, 300, 60
GATEWAY_API_GROUP = "gateway.networking.k8s.io"
GATEWAY_API = "sigs.k8s.io/gateway-api@v1.6.0"


def images() -> list[str]:
    """Return the references of all images that the apps' manifests name."""
    return sorted(
        {
            container.need("image").text()
            for document in manifests.apps()
            if document.kind == "Deployment"
            for container in document.spec.need("template").need("spec").need("containers").items()
        }
    )


def load_images(lab: str) -> None:
    """Give the lab our stand-ins under the names of the official images."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # it becomes /opt, which the user of the image must read
        package = Path(folder) / "meshproof"
        shutil.copytree(APPS, package / "apps", ignore=shutil.ignore_patterns("__pycache__"))
        (package / "__init__.py").touch()
        for image in images():
            image_apps = apps.find_standin(image)
            environment = {"PYTHONPATH": "/opt", "PYTHONUNBUFFERED": "1", **image_apps.env}
            options = [
                word for key, value in environment.items() for word in ("--env", f"{key}={value}")
            ]
            entry = ["python3", "-m", image_apps.module, *image_apps.args]
            command = [lab, "load", *options, "--user", "1000", image, f"{folder}:/opt", *entry]
            subprocess.run(command, check=True, timeout=LOAD)
    with tempfile.TemporaryDirectory() as empty:
        subprocess.run([lab, "load", PYTHON, empty, "python3"], check=True, timeout=LOAD)


def load_meshproof(lab: str) -> str:
    """Give the lab an image of this project and all that it needs; return its reference.

    What is installed here is copied: the lab's images have the same Python.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        for file in _files():
            target = Path(folder) / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), target)
            shutil.copymode(file.locate(), target)
        build_command = ["-W", "ignore", "-c", "from setuptools import setup; setup()", "-q"]
        build_command += ["build_py", "--build-lib", folder, "dist_info", "--output-dir", folder]
        subprocess.run(
            [sys.executable, *build_command],
            cwd=ROOT,
            check=True,
            timeout=LOAD,
        )
        options = ["--env", "PYTHONPATH=/opt", "--env", "PYTHONUNBUFFERED=1", "--user", "65532"]
        command = [lab, "load", *options, MESHPROOF, f"{folder}:/opt", "python3", "-m", "meshproof"]
        subprocess.run(command, check=True, timeout=5 * LOAD)
    return MESHPROOF


def _files() -> Iterator[metadata.PackagePath]:
    """Yield the installed files of all that this project needs."""
    for name in sorted(_needed("meshproof")):
        for file in metadata.files(name) or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                yield file


def _needed(name: str) -> set[str]:
    """Return the distributions that one needs at run time, itself left out."""
    names: set[str] = set()
    pending = [name]
    while pending:
        for line in metadata.requires(pending.pop()) or ():
            needed = Requirement(line)
            is_needed = needed.marker is None or needed.marker.evaluate({"extra": ""})
            if is_needed and needed.name not in names:
                names.add(needed.name)
                pending.append(needed.name)
    return names


def add_gateway_api(lab: str) -> None:
    """Give the cluster the definitions of Gateway API, of the version that its istiod is made for.

    They are in the module's own files, which Go has since the lab was built.
    """
    download_command = ["go", "mod", "download", "-json", GATEWAY_API]
    done = subprocess.run(
        download_command, capture_output=True, text=True, check=True, timeout=LOAD
    )
    folder = Path(json.loads(done.stdout)["Dir"]) / "config" / "crd" / "standard"
    names = [str(path) for path in sorted(folder.glob(f"{GATEWAY_API_GROUP}_*s.yaml"))]
    definitions = [path for path in names if not path.endswith("_vap_safeupgrades.yaml")]
    files = [word for path in definitions for word in ("-f", path)]
    apply = [lab, "exec", "kubectl", "apply", "--server-side", *files]
    subprocess.run(apply, check=True, timeout=LOAD, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def up(lab: str, istio: bool = True) -> Iterator[None]:
    """Have the lab up with our images; end it if it was not up before."""
    subprocess.run([lab, "build"], check=True, timeout=BUILD)
    was_up = subprocess.run([lab, "status"], stdout=subprocess.DEVNULL, check=False).returncode == 0
    try:
        if not was_up:
            what = "--addons" if istio else "--no-istio"
            subprocess.run([lab, "up", what], check=True, timeout=UP)
        load_images(lab)
        add_gateway_api(lab)
        yield
    finally:
        if not was_up:
            subprocess.run([lab, "down"], check=True, timeout=UP)


def main() -> int:
    """Run a command in the network of the lab; return its exit code."""
    parser = argparse.ArgumentParser(description="Run a command in the lab.")
    parser.add_argument("--bare", action="store_true", help="in one without an Istio")
    parser.add_argument("lab", help="the lab's program")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    of = "bare" if options.bare else "lab"
    with up(options.lab, istio=not options.bare):
        environment = {**os.environ, "MESHPROOF_IN_LAB": of, "MESHPROOF_LAB": options.lab}
        command = [options.lab, "exec", *options.command]
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
