"""`meshproof smoke`: the small nightly run on a live cluster; it changes nothing of others."""

from __future__ import annotations

import argparse

from meshproof.base.errors import UsageError
from meshproof.options import command_line, sources

DESCRIPTION = (
    "Looks whether the mesh of a cluster works: a page through its way in, a cookie and a split by "
    "real requests, sidecars injected, the control plane and its proxies in sync. The run has a "
    "namespace of its own, small, which it deletes; objects of others are never changed. With "
    "--rules-from it reads the live rules of a namespace, too, and checks every case that follows "
    "from them, in a sandbox: on this cluster's istiod and proxies, with echo workloads in "
    "namespaces of the run. With --intent what a file expects of these rules is checked, too."
)
#: Requests at a time, and the most for each check: small, since the cluster is in use.
_WORKERS, _BUDGET = 8, 3000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    command_line.add_options(parser, "smoke")


def run(options: argparse.Namespace) -> int:
    """Carry out the command; return its exit code. Raises UsageError, BadRules or NotReady."""
    arguments = ["--mesh=cluster", "--mesh-smoke", *command_line.list_run_arguments(options)]
    arguments.append(f"--mesh-report={sources.find_report_folder('smoke', options)}")
    sources.fill_in("smoke", options)
    arguments += [f"--mesh-workers={_WORKERS}", f"--mesh-budget={_BUDGET}"]
    if options.intent and not options.rules_from:
        raise UsageError("smoke: --intent is about live rules: name them with --rules-from")
    loaded_rules = None
    if options.rules_from:
        from meshproof.mesh.protocol import ClusterOptions
        from meshproof.user_rules import loading

        path = f"cluster:{','.join(options.rules_from)}"
        cluster_options = ClusterOptions(options.kubeconfig or "", options.context or "")
        # Bad rules end the run here, with their own exit code.
        loaded_rules = (
            (path,),
            loading.load([path], cluster_options, loading.read_reading_options(options)),
        )
        arguments.append(f"--mesh-rules={path}")
        arguments += [f"--mesh-sandbox={options.most_workloads}"] if options.most_workloads else []
    from meshproof.cli.test import run_suites

    return run_suites(arguments, "smoke", loaded_rules)
