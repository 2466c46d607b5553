"""istioctl, called where it is the interface that people use: install, kube-inject, analyze."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from meshproof import timeouts
from meshproof.errors import NotReady
from meshproof.mesh.cluster.client import Object
from meshproof.mesh.process import MARK
from meshproof.mesh.protocol import ClusterOptions

HOW_TO_GET = (
    "istioctl is not on PATH: take the one of your Istio's version from its release "
    '(Istio docs, "Download the Istio release")'
)


class Istioctl:
    """The istioctl on PATH, for one cluster. `folder` is that of the run, which owns processes."""

    def __init__(self, options: ClusterOptions, folder: Path) -> None:
        self._options = options
        self._folder = folder

    @property
    def path(self) -> str:
        """Where it is; empty when it is not on PATH."""
        return shutil.which("istioctl") or ""

    def run(self, *words: str, text: str = "", seconds: float = timeouts.ISTIOCTL) -> str:
        """Return what a command prints; `text` is its standard input.

        Raises NotReady when there is no istioctl, when it fails (with what it says) or takes
        longer than `seconds`.
        """
        if not self.path:
            raise NotReady(HOW_TO_GET)
        place = [
            f"--{name}={value}"
            for name, value in (
                ("kubeconfig", self._options.kubeconfig),
                ("context", self._options.context),
            )
            if value
        ]
        said = f"istioctl {' '.join(words)}"
        try:
            done = subprocess.run(
                [self.path, *words, *place],
                input=text,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=seconds,
                env={**os.environ, MARK: str(self._folder)},
            )
        except subprocess.TimeoutExpired:
            raise NotReady(f"{said}: not done after {seconds:.0f} s") from None
        except OSError as error:
            raise NotReady(f"{self.path}: cannot be run: {error.strerror}") from None
        # `analyze` ends with 79 for findings, which it has printed.
        if done.returncode and not (words[0] == "analyze" and done.returncode == 79):
            raise NotReady(f"{said}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def version(self) -> str:
        """Return its version; empty when it is not on PATH."""
        if not self.path:
            return ""
        found = json.loads(self.run("version", "--remote=false", "--output=json"))
        return str(found["clientVersion"]["version"])

    def analyze(self, namespace: str) -> list[Object]:
        """Return its messages on a namespace: code, level, message, origin."""
        words = ("analyze", f"--namespace={namespace}", "--output=json")
        found: list[Object] = json.loads(self.run(*words) or "[]")
        return found
