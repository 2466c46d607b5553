"""The addons of a cluster: found by their Services, never started."""

from __future__ import annotations

from meshproof.errors import NotReady
from meshproof.mesh.addons import Addon


class ClusterAddons:
    """No addon is looked for yet."""

    def missing(self, name: str) -> str:
        """Return why an addon is not there."""
        return f"{name} is not looked for in a cluster yet"

    def ready(self, name: str) -> Addon:
        """Raise NotReady: there is none."""
        raise NotReady(self.missing(name))
