"""Where the cases of own rules run, and what a report says of that: on this machine, or a cluster.

In a run on a cluster it is a sandbox there (--mesh-sandbox), else a local mesh as a stand-in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshproof.base.errors import UsageError
from meshproof.plugin import settings

if TYPE_CHECKING:
    import pytest

#: More echo workloads than this are no small sandbox.
MOST_WORKLOADS = 200
_LOCAL = (
    "the cases of your rules ran on a local mesh of real Envoys with echo workloads: meshproof's "
    "own translator stands in for the istiod of this cluster"
)
_PROVEN_LOCAL = "; of the cases of your rules, that a real Envoy on this machine does it"
_SANDBOX = (
    "in a sandbox echo workloads stand for the services of your rules, hosts and namespaces of the "
    "run for theirs; istiod and the proxies are the cluster's"
)
_PROVEN_SANDBOX = "; of the cases of your rules, that it does so in a sandbox"


def sandbox(config: pytest.Config) -> int:
    """Return how many echo workloads a sandbox may have (--mesh-sandbox); 0: there is none.

    Raises UsageError for a number out of its range, and without --mesh cluster.
    """
    most = config.getoption("mesh_sandbox")
    if most is None:
        return 0
    if not 1 <= most <= MOST_WORKLOADS:
        raise UsageError(f"--mesh-sandbox {most}: expected 1 to {MOST_WORKLOADS}")
    if config.getoption("mesh") != "cluster":
        raise UsageError("--mesh-sandbox: a sandbox is in a cluster: it needs --mesh cluster")
    return int(most)


def in_sandbox(config: pytest.Config) -> bool:
    """Say whether the cases of --mesh-rules run in a sandbox of the cluster."""
    most = sandbox(config) if config.getoption("mesh_rules") else 0
    return bool(most) and 0 < needed(config) <= most


def needed(config: pytest.Config) -> int:
    """Return how many echo workloads stand for the services of --mesh-rules."""
    return len(settings.own_rules(config).workloads.echoes)


def told(config: pytest.Config) -> tuple[str, list[str]]:
    """Return what a run on a cluster proves of own rules, and what stands in for what there."""
    name = config.getoption("mesh") or "local"
    if name == "local" or not config.getoption("mesh_rules"):
        return "", []
    if not settings.own_rules(config).plan.cases:
        return "", []
    if in_sandbox(config):
        return _PROVEN_SANDBOX, [_SANDBOX]
    most, why = sandbox(config), ""
    if most:
        why = f"; a sandbox would need {needed(config)} echo workloads, and {most} are allowed"
    return _PROVEN_LOCAL, [_LOCAL + why]
