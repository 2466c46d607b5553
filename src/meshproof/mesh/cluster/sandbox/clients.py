"""The clients of a sandbox: a probe with a sidecar for each set of labels that callers must have.

The one without such labels stands for everybody else. Where a DestinationRule is for clients of
some namespace alone, there are clients there, too. What holds at a gateway is sent from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from meshproof.base.errors import NotReady
from meshproof.base.names import Labels
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.proxies.proxies import Proxy
from meshproof.mesh.cluster.run.probe import Probe
from meshproof.mesh.cluster.sandbox.rules import Names
from meshproof.mesh.cluster.sandbox.sender import Here, Lines, Renaming
from meshproof.mesh.protocol import Sender

#: So many clients with labels of their own at most.
MOST = 4
#: The user's namespace in whose stead a client stands, and the labels that it has for the rules.
Caller = tuple[str, Labels]


class Clients:
    """The probes of a sandbox, by where they stand and the labels that they have for its rules."""

    def __init__(
        self, labels: Mapping[str, str], image: Callable[[str], str], callers: Iterable[Caller]
    ) -> None:
        """`labels` are those of the run and of injection, `callers` who must be there."""
        self._labels = labels
        self._image = image
        self.callers = list(dict.fromkeys(callers))
        self._made: dict[Caller, tuple[str, str]] = {}
        self._senders: dict[Caller | None, Sender] = {}
        self._lines: list[Lines] = []
        #: The sidecar of each probe.
        self.proxies: dict[Caller, Proxy] = {}

    def begin(self, kube: Kube, names: Names) -> None:
        """Create the probes in namespaces of the sandbox, which must be there."""
        for number, caller in enumerate(self.callers):
            labels, namespace = {**dict(caller[1]), **self._labels}, names.namespaces[caller[0]]
            name = f"meshproof-probe-{number}" if number else ""
            made = Probe.made(kube, namespace, labels, self._image, sidecar=True, name=name)
            self._made[caller] = namespace, made

    def ready(self, kube: Kube, names: Names) -> None:
        """Wait until the probes take requests. Raises NotReady for one that does not come up."""
        for caller, place in self._made.items():
            probe = Probe.ready(kube, *place)
            self._lines.append(Lines(probe))
            self._senders[caller] = Renaming(self._lines[-1], names)
            self.proxies[caller] = Proxy(probe.pod, probe.namespace)
        self._senders[None] = Renaming(Here(), names)

    def sender(self, caller: Caller | None) -> Sender:
        """Return a client, None: the one outside the mesh."""
        if caller not in self._senders:
            raise NotReady(f"no client of the sandbox stands for {caller}")
        return self._senders[caller]

    def close(self) -> None:
        """End the connections to the probes."""
        for one in self._lines:
            one.close()
