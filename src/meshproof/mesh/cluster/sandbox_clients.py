"""The clients of a sandbox: a probe with a sidecar for each set of labels that callers must have.

The one without such labels stands for everybody else. What holds at a gateway is sent from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from meshproof.cases import Call
from meshproof.errors import NotReady
from meshproof.mesh.cluster.client import Kube
from meshproof.mesh.cluster.probe import Probe
from meshproof.mesh.cluster.proxies import Proxy
from meshproof.mesh.cluster.sandbox_rules import Names
from meshproof.mesh.cluster.sandbox_sender import Here, Lines, Renaming
from meshproof.mesh.protocol import Sender
from meshproof.names import MESH, Labels

#: So many clients with labels of their own at most.
MOST = 4
_NOBODY: Labels = ()


class Clients:
    """The probes of a sandbox, by the labels that they have for its rules."""

    def __init__(
        self, labels: Mapping[str, str], image: Callable[[str], str], sources: Iterable[Labels]
    ) -> None:
        """`labels` are those of the run and of injection, `sources` what callers must have."""
        self._labels = labels
        self._image = image
        self._sources = list(dict.fromkeys([_NOBODY, *sources]))
        self._made: dict[Labels, tuple[str, str]] = {}
        self._senders: dict[Labels | None, Sender] = {}
        self._lines: list[Lines] = []
        #: The sidecar of each probe.
        self.proxies: dict[Labels, Proxy] = {}

    def begin(self, kube: Kube, namespace: str) -> None:
        """Create the probes in a namespace, which must be there."""
        for number, source in enumerate(self._sources):
            labels = {**dict(source), **self._labels}
            name = f"meshproof-probe-{number}" if number else ""
            made = Probe.made(kube, namespace, labels, self._image, sidecar=True, name=name)
            self._made[source] = namespace, made

    def ready(self, kube: Kube, names: Names) -> None:
        """Wait until the probes take requests. Raises NotReady for one that does not come up."""
        for source, place in self._made.items():
            probe = Probe.ready(kube, *place)
            self._lines.append(Lines(probe))
            self._senders[source] = Renaming(self._lines[-1], names)
            self.proxies[source] = Proxy(probe.pod, probe.namespace)
        self._senders[None] = Renaming(Here(), names)

    def sender(self, call: Call) -> Sender:
        """Return the client of a call."""
        found = self._senders.get(call.source if call.gateway == MESH else None)
        if found is None:
            raise NotReady(f"no client of the sandbox calls {call.host}")
        return found

    def close(self) -> None:
        """End the connections to the probes."""
        for one in self._lines:
            one.close()
