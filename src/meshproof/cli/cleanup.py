"""`meshproof cleanup`: removes what killed runs have left, in a cluster and on this machine."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from meshproof.base import errors
from meshproof.base.errors import NotReady, UsageError, nearest, plural

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
    add("--context", default="", metavar="NAME", help="context of the kubeconfig")
    add("--kubeconfig", default="", metavar="PATH", help="default: as kubectl finds it")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all-runs", action="store_true", help="every dead run (default)")
    which.add_argument("--run", default="", metavar="ID", help="this run only, unless it goes on")
    add("--dry-run", action="store_true", help="say what would be deleted, delete nothing")
    add("-o", "--output", choices=["text", "json"], default="text", help="default: text")


@dataclass
class Cleaned:
    """What became of one run: its objects `deleted` (or to be), and what is `left` of it, why."""

    run: str
    state: str
    why: str
    deleted: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@dataclass
class Report:
    """What the command has done: `folders` are those of runs of this machine."""

    dry_run: bool
    folders: list[str] = field(default_factory=list)
    cluster: str = ""
    runs: list[Cleaned] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    not_looked_at: dict[str, str] = field(default_factory=dict)

    @property
    def code(self) -> int:
        """The exit code."""
        if self.stuck:
            return errors.EXIT_NOT_READY
        unclear = any(one.left and one.state == "unknown" for one in self.runs)
        return errors.EXIT_FAILED if unclear else errors.EXIT_PASSED


def run(options: argparse.Namespace) -> int:
    """Carry out the command; return its exit code.

    Raises UsageError for a run that is not there or goes on, NotReady when the cluster that was
    asked for does not answer.
    """
    from meshproof.mesh.process import processes
    from meshproof.mesh.protocol import ClusterOptions

    report = Report(options.dry_run)
    if not options.run:
        report.folders = [str(path) for path in processes.sweep(options.dry_run)]
    try:
        with _connected(
            ClusterOptions(kubeconfig=options.kubeconfig, context=options.context), options.dry_run
        ) as kube:
            report.cluster = kube.cluster_name
            _clean(kube, report, options.run)
    except NotReady as error:
        if _needs_no_cluster(options, error):
            _say(report, options.output)
            return report.code
        if options.output == "text":
            _write(_local(report))  # what has been done is said, whatever comes after it
        raise
    _say(report, options.output)
    return report.code


def _needs_no_cluster(options: argparse.Namespace, error: NotReady) -> bool:
    """Say whether nobody has asked for a cluster, and there is none."""
    from meshproof.mesh.cluster.api.kubeconfig import NoCluster

    asked = options.kubeconfig or options.context or options.run or os.environ.get("KUBECONFIG")
    return isinstance(error, NoCluster) and not asked


def _say(report: Report, output: str) -> None:
    if output == "json":
        _write([json.dumps({**asdict(report), "exit_code": report.code}, indent=1)])
    else:
        _write([*_local(report), *_told(report)])


@contextlib.contextmanager
def _connected(options: ClusterOptions, dry_run: bool) -> Iterator[Kube]:
    from meshproof.mesh.cluster.api.client import Kube
    from meshproof.mesh.process.processes import Workspace

    with contextlib.ExitStack() as stack:
        if dry_run:  # a workspace would clear what others have left
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="meshproof-")))
        else:
            folder = stack.enter_context(Workspace.create()).path
        yield stack.enter_context(Kube.connected(options, folder))


def _clean(kube: Kube, report: Report, chosen: str) -> None:
    """Find what runs have left, delete what may be deleted, and note all of it."""
    from meshproof.mesh.cluster.run import leftovers
    from meshproof.mesh.cluster.run.ownership import RunState

    found = leftovers.find_leftovers(kube, run=chosen)
    report.not_looked_at = {
        f"{one.kind} ({one.api_version})": why.splitlines()[0]  # a run's Role is not for all kinds
        for one, why in found.unseen.items()
    }
    if chosen:
        _require_ended(kube, found, chosen)
    for left in found.runs:
        done = Cleaned(left.run, str(left.status.state), left.status.reason)
        report.runs.append(done)
        removed = left.status.state is RunState.GONE or (chosen and left.to_delete)
        known = leftovers.read_install_records(kube, left) if removed else []
        istio = [f"Istio of revision {one.revision}" for one in known]
        if removed and not report.dry_run:
            try:
                leftovers.uninstall_istio(kube, left)
                leftovers.delete_objects(kube, left.to_delete)
            except NotReady as error:
                report.stuck += str(error).splitlines()
                done.left = [str(one) for one in leftovers.filter_existing(kube, left.to_delete)]
        if removed:
            names = [*istio, *(str(one) for one in left.to_delete)]
            done.deleted = [one for one in names if one not in done.left]
            done.left += [str(one) for one in left.foreign]
        else:
            done.left = [str(one) for one in left.roots]


def _require_ended(kube: Kube, found: Leftovers, chosen: str) -> None:
    from meshproof.mesh.cluster.run import leftovers
    from meshproof.mesh.cluster.run.ownership import RunState

    if not found.runs:
        names = [one.run for one in leftovers.find_leftovers(kube).runs]
        known = f"; there are {', '.join(names)}" if names else "; there is none"
        raise UsageError(f"--run {chosen}: no such run{nearest(chosen, names) or known}")
    (left,) = found.runs
    if left.status.state is RunState.LIVES:
        raise UsageError(
            f"--run {chosen}: it goes on: {left.status.reason}. Ctrl-C ends it in good order; if "
            f"you know that it is dead: kubectl delete namespace {' '.join(left.namespaces)}"
        )


def _local(report: Report) -> list[str]:
    done = "to be removed" if report.dry_run else "removed"
    return [f"{done}: folder and processes of the run {path}" for path in report.folders]


def _told(report: Report) -> Iterator[str]:
    done = "to be deleted" if report.dry_run else "deleted"
    for one in report.runs:
        yield from (f"{done}: {name} (run {one.run}: {one.why})" for name in one.deleted)
        words = {"lives": "goes on, not touched", "unknown": "unclear, not touched"}.get(
            one.state, "left"
        )
        yield from (f"{words}: {name} (run {one.run}: {one.why})" for name in one.left)
        if one.left and one.state == "unknown" and not report.stuck:
            yield f"look at it, then: meshproof cleanup --run {one.run}"
    yield from report.stuck
    if report.not_looked_at:
        first = next(iter(report.not_looked_at.values()))
        yield f"not looked at: {', '.join(report.not_looked_at)}: {first}"
    if not report.cluster:
        yield "there is no kubeconfig: only this machine was looked at"
        return
    count = sum(len(one.deleted) for one in report.runs)
    yield f"{report.cluster}: {plural(count, 'object')} of dead runs {done}"


def _write(lines: Sequence[str] | Iterator[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
