"""Runs istioctl where people use it, too: install, kube-inject, analyze."""

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
from meshproof.mesh.process.processes import RUN_VARIABLE
from meshproof.mesh.protocol import ClusterOptions, Lack

NO_ISTIOCTL = Lack(
    "istioctl is not on PATH",
    "Take the one of your Istio's version from its release "
    '(Istio docs, "Download the Istio release")',
)


class Istioctl:
    """The istioctl on PATH, for one cluster; `folder` is the run's, which owns the processes."""

    def __init__(self, options: ClusterOptions, folder: Path) -> None:
        self._options = options
        self._folder = folder

    @property
    def path(self) -> str:
        """Its path; empty when it is not on PATH."""
        return shutil.which("istioctl") or ""

    def run(
        self,
        *arguments: str,
        text: str = "",
        seconds: float = timeouts.ISTIOCTL,
        watch: Callable[[], None] = lambda: None,
    ) -> str:
        """Return the output of a command; `text` is its standard input.

        `watch` is called repeatedly meanwhile; an error that it raises ends the command. Raises
        NotReady when there is no istioctl, when it fails (with its output), and when it takes
        longer than `seconds`.
        """
        if not self.path:
            raise NotReady(str(NO_ISTIOCTL))
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
                env={**os.environ, RUN_VARIABLE: str(self._folder)},
            ) as process:
                out, err = _communicate(process, text, seconds, watch)
        except subprocess.TimeoutExpired:
            raise NotReady(f"{command_line}: not done after {seconds:.0f} s") from None
        except OSError as error:
            raise NotReady(f"{self.path}: cannot be run: {error.strerror}") from None
        # `analyze` exits with 79 after printing findings.
        if process.returncode and not (arguments[0] == "analyze" and process.returncode == 79):
            raise NotReady(f"{command_line}: {(err or out).strip()}")
        return out

    def version(self) -> str:
        """Return the version of istioctl; empty when it is not on PATH."""
        if not self.path:
            return ""
        report = json.loads(self.run("version", "--remote=false", "--output=json"))
        return str(report["clientVersion"]["version"])

    def analyze(self, namespace: str) -> list[Object]:
        """Return what `istioctl analyze` says of a namespace: code, level, message, origin."""
        arguments = ("analyze", f"--namespace={namespace}", "--output=json")
        messages: list[Object] = json.loads(self.run(*arguments) or "[]")
        return messages


def _communicate(
    process: subprocess.Popen[str], text: str, seconds: float, watch: Callable[[], None]
) -> tuple[str, str]:
    """Return the output and the error output of a process; kill it on any error."""
    deadline, stdin = time.monotonic() + seconds, text or None
    try:
        while True:
            try:
                return process.communicate(stdin, timeout=timeouts.POLL_SLOW)
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline:
                    raise
            stdin = None  # communicate() takes it once
            watch()
    except BaseException:
        process.kill()
        raise
