"""`meshproof smoke`: the small nightly run on a live cluster; it changes nothing of others."""

from __future__ import annotations

import argparse

from meshproof.base.errors import UsageError
from meshproof.plugin import cluster_settings

DESCRIPTION = (
    "Looks whether the mesh of a cluster works: a page through its way in, a cookie and a split by "
    "real requests, sidecars injected, the control plane and its proxies in sync. The run has a "
    "namespace of its own, small, which it deletes; objects of others are never changed. With "
    "--rules-from it reads the live rules of a namespace, too, and checks every case that follows "
    "from them, in a sandbox: on this cluster's istiod and proxies, with echo workloads in "
    "namespaces of the run."
)
#: Requests at a time, and the most for each check: small, since the cluster is in use.
_WORKERS, _BUDGET = 8, 3000
#: Pods of a sandbox, each with an echo and a sidecar: few enough for any quota.
_MOST_WORKLOADS = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("--context", metavar="NAME", help="of the kubeconfig (default: the current one)")
    add(
        "--kubeconfig",
        metavar="PATH",
        help="default: as kubectl finds it, last the cluster of the pod it runs in",
    )
    add(
        "--rules-from",
        action="append",
        default=[],
        metavar="NAMESPACE",
        help="check the live rules of this namespace, too; may be repeated",
    )
    add(
        "--most-workloads",
        type=int,
        default=_MOST_WORKLOADS,
        metavar="N",
        help="so many echo workloads at most in the sandbox of --rules-from; more, or 0: the cases "
        "run on a local mesh as a stand-in (default: %(default)s)",
    )
    cluster_settings.add_target_options(parser)
    add("--report", default="meshproof-report", metavar="DIR", help="default: %(default)s")


def run(options: argparse.Namespace) -> int:
    """Carry out the command; return its exit code. Raises UsageError, BadRules or NotReady."""
    from meshproof.cli.test import run_suites
    from meshproof.plugin.placement import MOST_WORKLOADS

    arguments = ["--mesh", "cluster", "--mesh-smoke", "--mesh-report", options.report]
    arguments += [f"--mesh-workers={_WORKERS}", f"--mesh-budget={_BUDGET}"]
    arguments += [
        f"--mesh-{name}={limit}"
        for name, limit in (("context", options.context), ("kubeconfig", options.kubeconfig))
        if limit
    ]
    arguments += cluster_settings.list_target_arguments(options)
    if not 0 <= options.most_workloads <= MOST_WORKLOADS:
        limit = options.most_workloads
        raise UsageError(f"smoke: --most-workloads {limit}: expected 0 to {MOST_WORKLOADS}")
    if options.rules_from:
        from meshproof.mesh.protocol import ClusterOptions
        from meshproof.user_rules import loading

        for name in options.rules_from:
            if "/" in name or not name:
                raise UsageError(f"smoke: --rules-from {name}: expected the name of a namespace")
        path = f"cluster:{','.join(options.rules_from)}"
        cluster_options = ClusterOptions(options.kubeconfig or "", options.context or "")
        # Bad rules end the run here, with their own exit code.
        loading.load([path], cluster_options, allow_empty=True)
        arguments.append(f"--mesh-rules={path}")
        arguments += [f"--mesh-sandbox={options.most_workloads}"] if options.most_workloads else []
    return run_suites(arguments)
