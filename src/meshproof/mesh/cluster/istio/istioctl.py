"""istioctl, called where it is the interface that people use: install, kube-inject, analyze."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.api.client import Object
from meshproof.mesh.process.processes import MARK
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

    def run(
        self,
        *arguments: str,
        text: str = "",
        seconds: float = timeouts.ISTIOCTL,
        watch: Callable[[], None] = lambda: None,
    ) -> str:
        """Return what a command prints; `text` is its standard input.

        `watch` is called again and again meanwhile: what it raises ends the command. Raises
        NotReady when there is no istioctl, when it fails (with what it says) or takes longer than
        `seconds`.
        """
        if not self.path:
            raise NotReady(HOW_TO_GET)
        cluster_flags = [
            f"--{name}={value}"
            for name, value in (
                ("kubeconfig", self._options.kubeconfig),
                ("context", self._options.context),
            )
            if value
        ]
        command_line = f"istioctl {' '.join(arguments)}"
        try:
            with subprocess.Popen(
                [self.path, *arguments, *cluster_flags],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env={**os.environ, MARK: str(self._folder)},
            ) as process:
                out, err = _communicate(process, text, seconds, watch)
        except subprocess.TimeoutExpired:
            raise NotReady(f"{command_line}: not done after {seconds:.0f} s") from None
        except OSError as error:
            raise NotReady(f"{self.path}: cannot be run: {error.strerror}") from None
        # `analyze` ends with 79 for findings, which it has printed.
        if process.returncode and not (arguments[0] == "analyze" and process.returncode == 79):
            raise NotReady(f"{command_line}: {(err or out).strip()}")
        return out

    def version(self) -> str:
        """Return its version; empty when it is not on PATH."""
        if not self.path:
            return ""
        report = json.loads(self.run("version", "--remote=false", "--output=json"))
        return str(report["clientVersion"]["version"])

    def analyze(self, namespace: str) -> list[Object]:
        """Return its messages on a namespace: code, level, message, origin."""
        arguments = ("analyze", f"--namespace={namespace}", "--output=json")
        messages: list[Object] = json.loads(self.run(*arguments) or "[]")
        return messages


def _communicate(
    process: subprocess.Popen[str], text: str, seconds: float, watch: Callable[[], None]
) -> tuple[str, str]:
    """Return what a program prints until its end, on both ways; it is killed for any error."""
    deadline, stdin = time.monotonic() + seconds, text or None
    try:
        while True:
            try:
                return process.communicate(stdin, timeout=timeouts.POLL_SLOW)
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline:
                    raise
            stdin = None  # it is taken once
            watch()
    except BaseException:
        process.kill()
        raise
