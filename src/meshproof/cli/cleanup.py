"""`meshproof cleanup`: removes leftovers of killed runs, in a cluster and on this machine."""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from meshproof.base import errors
from meshproof.base.errors import NotReady, UsageError, pluralize, suggest_nearest
from meshproof.base.output import print_json, print_line
from meshproof.options import command_line, sources

if TYPE_CHECKING:
    from meshproof.mesh.cluster.api.client import Kube
    from meshproof.mesh.cluster.run.leftovers import Leftovers
    from meshproof.mesh.protocol import ClusterOptions

DESCRIPTION = (
    "Removes what runs have left that were killed: in a cluster all objects with their label, on "
    "this machine their processes and folders. The next run does so, too. A run that goes on is "
    "never touched; of a run whose annotations do not tell whether it goes on everything is named, "
    "and removed only by --run."
)
EPILOG = (
    "It ends with 0 where nothing is left of dead runs, with 1 where something is left of a run "
    "of which nobody can tell whether it goes on, and with 69 where something does not go, or the "
    "cluster does not answer."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EPILOG
    add = parser.add_argument
    command_line.add_options(parser, "cleanup")
    selection = parser.add_mutually_exclusive_group()
    selection.add_argument("--all-runs", action="store_true", help="every dead run (default)")
    selection.add_argument(
        "--run", default="", metavar="ID", help="this run only, unless it goes on"
    )
    add("--dry-run", action="store_true", help="say what would be deleted, delete nothing")
    add("-o", "--output", choices=["text", "json"], default="text", help="default: text")


@dataclass
class RunCleanup:
    """The cleanup of one run: objects `deleted` (or to be deleted), objects `left`, and why."""

    run: str
    state: str
    why: str
    deleted: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@dataclass
class CleanupReport:
    """The result of the command. `folders` belong to runs on this machine."""

    dry_run: bool
    folders: list[str] = field(default_factory=list)
    cluster: str = ""
    runs: list[RunCleanup] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    not_looked_at: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """The exit code of the command."""
        if self.stuck:
            return errors.EXIT_NOT_READY
        unclear = any(
            run_cleanup.left and run_cleanup.state == "unknown" for run_cleanup in self.runs
        )
        return errors.EXIT_FAILED if unclear else errors.EXIT_PASSED


def run(options: argparse.Namespace) -> int:
    """Remove what dead runs left, print a report, return its exit code (see EPILOG).

    With --dry-run removes nothing. No cluster is needed if no option and no KUBECONFIG names one.
    Raises UsageError for a --run that is not there or goes on, NotReady when the cluster does not
    answer (after the report on this machine).
    """
    sources.fill_in("cleanup", options)
    from meshproof.mesh.process import processes
    from meshproof.mesh.protocol import ClusterOptions

    report = CleanupReport(options.dry_run)
    if not options.run:
        report.folders = [str(path) for path in processes.clear_dead_runs(options.dry_run)]
    try:
        with _connect_client(
            ClusterOptions(options.kubeconfig or "", options.context or ""), options.dry_run
        ) as kube:
            report.cluster = kube.cluster_name
            _clean_cluster(kube, report, options.run)
    except NotReady as error:
        if _needs_no_cluster(options, error):
            _print_report(report, options.output)
            return report.exit_code
        if options.output == "text":
            _print_lines(_render_local(report))  # report the local part before the error
        raise
    _print_report(report, options.output)
    return report.exit_code


def _needs_no_cluster(options: argparse.Namespace, error: NotReady) -> bool:
    """Return whether there is no cluster and no option or variable names one."""
    from meshproof.mesh.cluster.api.kubeconfig import NoCluster

    cluster_option = (
        options.kubeconfig or options.context or options.run or os.environ.get("KUBECONFIG")
    )
    return isinstance(error, NoCluster) and not cluster_option


def _print_report(report: CleanupReport, output: str) -> None:
    """Print the report as text or JSON."""
    if output == "json":
        print_json({**asdict(report), "exit_code": report.exit_code})
    else:
        _print_lines([*_render_local(report), *_render_cluster(report)])


@contextlib.contextmanager
def _connect_client(options: ClusterOptions, dry_run: bool) -> Iterator[Kube]:
    """Yield a client of the cluster; its files live in a folder of their own."""
    from meshproof.mesh.cluster.api.client import Kube
    from meshproof.mesh.process.processes import Workspace

    with contextlib.ExitStack() as stack:
        if dry_run:  # creating a workspace sweeps leftovers
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="meshproof-")))
        else:
            folder = stack.enter_context(Workspace.create()).path
        yield stack.enter_context(Kube.connected(options, folder))


def _clean_cluster(kube: Kube, report: CleanupReport, run_id: str) -> None:
    """Find leftovers of `run_id` ("": all runs), delete those of dead runs, fill the report."""
    from meshproof.mesh.cluster.run import leftovers
    from meshproof.mesh.cluster.run.ownership import RunState

    all_leftovers = leftovers.find_leftovers(kube, run=run_id)
    report.not_looked_at = {
        f"{kind.kind} ({kind.api_version})": reason.splitlines()[
            0
        ]  # a run's Role is not for all kinds
        for kind, reason in all_leftovers.unseen.items()
    }
    if run_id:
        _require_ended(kube, all_leftovers, run_id)
    for run_leftovers in all_leftovers.runs:
        run_cleanup = RunCleanup(
            run_leftovers.run, str(run_leftovers.status.state), run_leftovers.status.reason
        )
        report.runs.append(run_cleanup)
        is_removed = run_leftovers.status.state is RunState.GONE or (
            run_id and run_leftovers.to_delete
        )
        records = leftovers.read_install_records(kube, run_leftovers) if is_removed else []
        installations = [f"Istio of revision {record.revision}" for record in records]
        if is_removed and not report.dry_run:
            try:
                leftovers.uninstall_istio(kube, run_leftovers)
                leftovers.delete_objects(kube, run_leftovers.to_delete)
            except NotReady as error:
                report.stuck += str(error).splitlines()
                run_cleanup.left = [
                    str(reference)
                    for reference in leftovers.filter_existing(kube, run_leftovers.to_delete)
                ]
        if is_removed:
            names = [*installations, *(str(reference) for reference in run_leftovers.to_delete)]
            run_cleanup.deleted = [name for name in names if name not in run_cleanup.left]
            run_cleanup.left += [str(reference) for reference in run_leftovers.foreign]
        else:
            run_cleanup.left = [str(reference) for reference in run_leftovers.roots]


def _require_ended(kube: Kube, all_leftovers: Leftovers, run_id: str) -> None:
    """Raise UsageError when `run_id` does not exist or is still running."""
    from meshproof.mesh.cluster.run import leftovers
    from meshproof.mesh.cluster.run.ownership import RunState

    if not all_leftovers.runs:
        names = [run_leftovers.run for run_leftovers in leftovers.find_leftovers(kube).runs]
        hint = f"; there are {', '.join(names)}" if names else "; there is none"
        raise UsageError(f"--run {run_id}: no such run{suggest_nearest(run_id, names) or hint}")
    (run_leftovers,) = all_leftovers.runs
    if run_leftovers.status.state is RunState.LIVES:
        raise UsageError(
            f"--run {run_id}: it goes on: {run_leftovers.status.reason}. Ctrl-C ends it in good "
            "order; if you know that it is dead: "
            f"kubectl delete namespace {' '.join(run_leftovers.namespaces)}"
        )


def _render_local(report: CleanupReport) -> list[str]:
    """Return a line for each folder of a run on this machine."""
    action = "to be removed" if report.dry_run else "removed"
    return [f"{action}: folder and processes of the run {path}" for path in report.folders]


def _render_cluster(report: CleanupReport) -> Iterator[str]:
    """Yield the lines about the cluster: each object, errors, and a summary."""
    action = "to be deleted" if report.dry_run else "deleted"
    for run_cleanup in report.runs:
        yield from (
            f"{action}: {name} (run {run_cleanup.run}: {run_cleanup.why})"
            for name in run_cleanup.deleted
        )
        state = {"lives": "goes on, not touched", "unknown": "unclear, not touched"}.get(
            run_cleanup.state, "left"
        )
        yield from (
            f"{state}: {name} (run {run_cleanup.run}: {run_cleanup.why})"
            for name in run_cleanup.left
        )
        if run_cleanup.left and run_cleanup.state == "unknown" and not report.stuck:
            yield f"look at it, then: meshproof cleanup --run {run_cleanup.run}"
    yield from report.stuck
    if report.not_looked_at:
        reason = next(iter(report.not_looked_at.values()))
        yield f"not looked at: {', '.join(report.not_looked_at)}: {reason}"
    if not report.cluster:
        yield "there is no kubeconfig: only this machine was looked at"
        return
    count = sum(len(run_cleanup.deleted) for run_cleanup in report.runs)
    yield f"{report.cluster}: {pluralize(count, 'object')} of dead runs {action}"


def _print_lines(lines: Sequence[str] | Iterator[str]) -> None:
    """Print each line."""
    for line in lines:
        print_line(line)
