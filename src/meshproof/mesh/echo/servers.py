"""The Envoy that answers for all echo workloads, at a listener for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.base.waiting import wait_for
from meshproof.mesh.echo.listener import EchoBehaviour, MarkerHeaders, make_echo_listener
from meshproof.mesh.echo.workloads import EchoWorkload
from meshproof.mesh.envoy.certificates import Identity
from meshproof.mesh.envoy.envoy import ConfigRejected, Envoy
from meshproof.mesh.process.processes import Workspace


class EchoServers:
    """The echo workloads of this machine; `copies_path` is where they note mirrored copies."""

    def __init__(self, workspace: Workspace, binary: Path) -> None:
        self.envoy = Envoy("echo", workspace, binary)
        self.copies_path = workspace.path / "copies.log"

    def start(
        self,
        echoes: Iterable[EchoWorkload],
        behaviour: EchoBehaviour,
        markers: MarkerHeaders,
        certificates: Mapping[str, Identity] = MappingProxyType({}),
        pods: int = 1,
    ) -> None:
        """Start the Envoy with a listener for each of a workload's `pods`; see `wait_started`.

        Those with a certificate, by name, have another one at which they speak TLS.
        """
        self.envoy.serve("cds", [])
        path = str(self.copies_path)
        self.envoy.serve(
            "lds",
            [
                *(
                    make_echo_listener(echo.name, behaviour, markers, path, pod=pod)
                    for echo in echoes
                    for pod in range(pods)
                ),
                *(
                    make_echo_listener(name, behaviour, markers, path, server)
                    for name, server in certificates.items()
                ),
            ],
        )
        self.envoy.start()

    def wait_started(self) -> dict[str, int]:
        """Wait until each workload listens; return name -> port. Raises NotReady with its log."""
        self.envoy.wait_started()
        wait_acknowledged(self.envoy)
        return self.envoy.read_listener_ports()


def wait_acknowledged(envoy: Envoy) -> None:
    """Wait until an Envoy listens. Raises NotReady with its log."""
    try:
        wait_for(
            lambda: envoy.has_acknowledged() or None,
            timeouts.ENVOY_START,
            lambda: f"{envoy.name}: does not listen; its log:\n{envoy.process.tail()}",
        )
    except ConfigRejected as rejected:
        raise NotReady(str(rejected)) from None
