"""The app of a pod, as a process: a stand-in for the pod's image, with a sidecar as HTTP proxy."""

from __future__ import annotations

import http.client
import re
import sys
from collections.abc import Iterable, Sequence

from meshproof import apps
from meshproof.base import timeouts
from meshproof.base.errors import BadRules, NotReady
from meshproof.base.waiting import wait_for
from meshproof.mesh.envoy.topology import Pod
from meshproof.mesh.process.processes import Process, Workspace
from meshproof.mesh.protocol import Address, Replica

_LISTENING = re.compile(r"^listening on (\S+):(\d+)$", re.M)


class App:
    """The app of one replica."""

    def __init__(self, pod: Pod, workspace: Workspace) -> None:
        self.pod = pod
        self._workspace = workspace
        self._process: Process | None = None
        self.port = 0
        #: Where it sends the requests that it makes: its sidecar.
        self.proxy = Address("", 0)

    @property
    def process(self) -> Process:
        """The process. Raises NotReady before `start`."""
        if self._process is None:
            raise NotReady(f"{self.pod.name}: its app was not started")
        return self._process

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.is_alive

    def start(self, proxy: Address) -> None:
        """Start the app with an HTTP proxy."""
        self.proxy = proxy
        standin = apps.find_standin(self.pod.image)
        # -P: the app must not import modules from the user's folder.
        command = [sys.executable, "-P", "-m", standin.module, *standin.args]
        settings = {
            "HOST": "127.0.0.1",
            "PORT": "0",
            "HOSTNAME": self.pod.name,
            "HTTP_PROXY": proxy.url,
        }
        env = {**standin.env, **self.pod.env, **settings}
        try:
            self._process = self._workspace.start(self.pod.name, command, env)
        except NotReady as error:
            raise NotReady(f"{self.pod.at}: {error}") from None

    def wait_listening(self) -> None:
        """Wait until the app has printed the port that it listens on."""

        def look() -> int | None:
            match = _LISTENING.search(self.process.read_log())
            if match is None:
                self.process.require_alive(f"{self.pod.at}")
            return int(match[2]) if match else None

        self.port = wait_for(
            look,
            timeouts.APP_START,
            lambda: self._describe_timeout("has not said `listening on HOST:PORT`"),
        )

    def _describe_timeout(self, problem: str) -> str:
        """Return the message about a `problem` of the app after APP_START, with its log's end."""
        return (
            f"{self.pod.name} ({self.pod.at}) {problem} after {timeouts.APP_START:.0f} s; "
            f"last lines of its log:\n{self.process.tail()}"
        )

    def wait_ready(self) -> None:
        """Wait until the app answers its readiness probe, as a kubelet would send it."""
        if self.pod.readiness is None:
            return
        wait_for(
            self._answers_probe,
            timeouts.APP_START,
            lambda: self._describe_timeout(
                f"does not answer its readiness probe GET {self.pod.readiness}"
            ),
        )

    def _answers_probe(self) -> bool | None:
        """Return True once the readiness probe succeeds, else None."""
        self.process.require_alive(f"{self.pod.at}")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", self.pod.readiness or "/")
            return True if connection.getresponse().status < 400 else None
        except OSError:
            return None
        finally:
            connection.close()


def require_standin(pod: Pod) -> None:
    """Raise BadRules if no stand-in runs for the pod's image."""
    try:
        apps.find_standin(pod.image)
    except LookupError as error:
        raise BadRules(f"{pod.at}: {pod.workload}: {error}") from None


def describe_standins(pods: Iterable[Pod]) -> list[str]:
    """Return which module stands in for which images, one sentence each."""
    modules: dict[str, list[str]] = {}
    for image in sorted({pod.image for pod in pods}):
        repository = apps.parse_repository(image)
        modules.setdefault(apps.find_standin(image).module, []).append(repository)
    return [f"{module} for {_join_images(images)}" for module, images in modules.items()]


def _join_images(repositories: Sequence[str]) -> str:
    """Return names of images, what all begin with once: `weaveworksdemos/* (front-end, orders)`."""
    start = repositories[0]
    while not all(name.startswith(start) for name in repositories):
        start = start[:-1]
    start = start[: max(start.rfind("/"), start.rfind("-")) + 1]
    if len(repositories) < 2 or not start:
        return ", ".join(repositories)
    return f"{start}* ({', '.join(name.removeprefix(start) for name in repositories)})"


def make_replica(pod: Pod) -> Replica:
    """Return a pod as suites see it."""
    app = dict(pod.labels).get("app", "")
    return Replica(pod.name, pod.workload, pod.namespace, app, pod.version)
