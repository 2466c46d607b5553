"""Decides where the cases of user rules run, and says so for the report.

With --mesh-sandbox they run in a sandbox of the cluster, else on a local mesh as its stand-in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshproof.base.errors import UsageError
from meshproof.mesh.istiod.binaries import HOW_TO_GET_ISTIOD
from meshproof.plugin import settings
from meshproof.plugin.run_context import get_options

if TYPE_CHECKING:
    import pytest

    from meshproof.mesh.protocol import SandboxRules
    from meshproof.options.table import RunOptions

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


_ISTIOD = (
    "echo workloads stand for the services of your rules, upstream Envoys for istio-proxy; "
    "Gateways listen on loopback, and istiod's webhook alone checks the objects, no schema of the "
    "API server"
)


def check_sandbox(options: RunOptions) -> None:
    """Raise UsageError for a sandbox (--mesh-sandbox) without --mesh cluster."""
    if options.sandbox is not None and options.mesh != "cluster":
        raise UsageError(
            f"{options.label('sandbox')}: a sandbox is in a cluster: it needs --mesh cluster"
        )


def check_istiod(options: RunOptions) -> None:
    """Raise UsageError for an istiod (--mesh-istiod) without --mesh istiod, and for mTLS there.

    A variable or a file may name the istiod for those runs that use it.
    """
    label = options.label("istiod")
    if options.istiod is not None and options.mesh != "istiod" and label.startswith("--"):
        raise UsageError(f"{label}: it needs --mesh istiod")
    if options.mesh == "istiod" and not options.istiod:
        raise UsageError(f"--mesh istiod needs an istiod: {HOW_TO_GET_ISTIOD}")
    if options.mesh == "istiod" and options.mtls == "strict":
        raise UsageError(
            f"{options.label('mtls')} strict: the istiod mesh has no mTLS yet (plaintext alone)"
        )


def check_rule_kinds(config: pytest.Config) -> None:
    """Read --mesh-rules. Raises BadRules for rules that cannot be read, or not served there."""
    from meshproof.mesh.istiod.objects import check_kinds

    user_rules = settings.load_user_rules(config)
    if get_options(config).mesh == "istiod":
        check_kinds(user_rules.rules.documents)


def uses_sandbox(config: pytest.Config) -> bool:
    """Say whether the cases of --mesh-rules run in a sandbox of the cluster."""
    options = get_options(config)
    limit = options.sandbox if options.rules else None
    return limit is not None and 0 < count_echo_workloads(config) <= limit


def read_sandbox_rules(config: pytest.Config) -> SandboxRules | None:
    """Return the rules of --mesh-rules for a sandbox; None where the run uses no sandbox."""
    from meshproof.mesh.protocol import SandboxRules

    if not uses_sandbox(config):
        return None
    user_rules = settings.load_user_rules(config)
    return SandboxRules(user_rules.rules, user_rules.plan.cases, user_rules.known_hosts)


def count_echo_workloads(config: pytest.Config) -> int:
    """Return how many echo workloads the services of --mesh-rules need."""
    return len(settings.load_user_rules(config).workloads.echoes)


def describe_proof_and_standins(config: pytest.Config) -> tuple[str, list[str]]:
    """Return what a run proves beside its mesh's `proven`, and sentences about its stand-ins.

    Of the local mesh that is how often it did as a real istiod does, elsewhere what holds for
    the user's rules.
    """
    from meshproof.mesh.agreement import read_agreement

    options = get_options(config)
    if options.mesh == "local":
        return read_agreement().describe(), []
    if not options.rules:
        return "", []
    if not settings.load_user_rules(config).plan.cases:
        return "", []
    if options.mesh == "istiod":
        return "", [_ISTIOD]
    if uses_sandbox(config):
        return _PROVEN_SANDBOX, [_SANDBOX]
    addition = ""
    if options.sandbox:
        needed = count_echo_workloads(config)
        addition = (
            f"; a sandbox would need {needed} echo workloads, and {options.sandbox} are allowed"
        )
    return _PROVEN_LOCAL, [_LOCAL + addition]
