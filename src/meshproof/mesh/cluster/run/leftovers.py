"""Finds what runs have left in a cluster by their label, deletes it, and waits until it is gone.

A run's objects are in its own namespaces and go with them. A labelled object elsewhere is deleted
on its own, if it says that meshproof manages it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.api.client import Kube, Object
from meshproof.mesh.cluster.api.kinds import AT_ONCE, Kind, LiveObject, discover_kinds, list_objects
from meshproof.mesh.cluster.api.object_ref import exists, wait_deleted
from meshproof.mesh.cluster.api.objects import MANAGED_BY, RUN_LABEL
from meshproof.mesh.cluster.istio import install_record
from meshproof.mesh.cluster.istio.install_record import Record
from meshproof.mesh.cluster.run import namespaces, ownership
from meshproof.mesh.cluster.run.ownership import RunState, RunStatus

_NAMESPACE = "Namespace"
_MANAGER = "meshproof"


@dataclass(frozen=True)
class LeftoverRun:
    """The objects with the label of one run, and whether that run still goes on."""

    run: str
    status: RunStatus
    live_objects: Sequence[LiveObject]

    @property
    def namespaces(self) -> list[str]:
        """The namespaces of the run."""
        return [
            live_object.name
            for live_object in self.live_objects
            if live_object.kind.kind == _NAMESPACE
        ]

    @property
    def outside(self) -> list[LiveObject]:
        """Objects outside the run's namespaces that no other object owns."""
        namespaces = set(self.namespaces)
        return [
            live_object
            for live_object in self.live_objects
            if live_object.kind.kind != _NAMESPACE
            and live_object.namespace not in namespaces
            and not live_object.metadata.get("ownerReferences")
        ]

    @property
    def to_delete(self) -> list[LiveObject]:
        """What to delete so that everything goes, as far as meshproof manages it."""
        return [
            live_object
            for live_object in self.roots
            if _read_labels(live_object).get(MANAGED_BY) == _MANAGER
        ]

    @property
    def roots(self) -> list[LiveObject]:
        """Its namespaces, and the objects outside them."""
        return [
            *(
                live_object
                for live_object in self.live_objects
                if live_object.kind.kind == _NAMESPACE
            ),
            *self.outside,
        ]

    @property
    def foreign(self) -> list[LiveObject]:
        """Objects with the run's label but without meshproof's: nobody knows whose they are."""
        return [live_object for live_object in self.roots if live_object not in self.to_delete]


@dataclass
class Leftovers:
    """The runs of a cluster, and the kinds that could not be listed, each with the reason."""

    runs: list[LeftoverRun]
    unseen: dict[Kind, str]

    def in_state(self, state: RunState) -> list[LeftoverRun]:
        """Return the runs in a state."""
        return [run for run in self.runs if run.status.state is state]


def _read_labels(live_object: LiveObject) -> dict[str, str]:
    """Return an object's labels."""
    return dict(live_object.metadata.get("labels") or {})


def find_leftovers(kube: Kube, kinds: Sequence[Kind] | None = None, run: str = "") -> Leftovers:
    """Find what runs, or one run, have left: objects of all kinds, or of those in `kinds`.

    Raises NotReady if namespaces cannot be listed; other kinds that cannot are `unseen`.
    """
    label = f"{RUN_LABEL}={run}" if run else RUN_LABEL
    if kinds is None:
        live_objects, unseen = list_objects(kube, discover_kinds(kube), label)
    else:
        live_objects, unseen = list_objects(kube, kinds, label, patience=timeouts.API_AWAY)
    for kind, reason in unseen.items():
        if kind.kind == _NAMESPACE:
            raise NotReady(reason)
    by_run: dict[str, list[LiveObject]] = {}
    for live_object in sorted(live_objects, key=str):
        by_run.setdefault(_read_labels(live_object)[RUN_LABEL], []).append(live_object)
    return Leftovers(
        [
            LeftoverRun(name, _judge_run_status(run_objects), run_objects)
            for name, run_objects in sorted(by_run.items())
        ],
        unseen,
    )


def _judge_run_status(live_objects: Sequence[LiveObject]) -> RunStatus:
    """Return the status of a run from its namespaces and its annotated objects.

    A living object outweighs an unknown one, an unknown one a dead one.
    """
    owned_objects = [
        live_object
        for live_object in live_objects
        if live_object.kind.kind == _NAMESPACE or _owner_annotations(live_object)
    ]
    statuses = [
        ownership.read_run_status(_owner_annotations(live_object)) for live_object in owned_objects
    ]
    for state in (RunState.LIVES, RunState.UNKNOWN, RunState.GONE):
        for status in statuses:
            if status.state is state:
                return status
    return RunStatus(RunState.UNKNOWN, f"nothing of it has the annotation {ownership.OWNER}")


def _owner_annotations(live_object: LiveObject) -> dict[str, str]:
    """Return those annotations of an object that tell its owner."""
    annotations = live_object.metadata.get("annotations") or {}
    return {
        key: annotations[key] for key in (ownership.OWNER, ownership.UNTIL) if key in annotations
    }


def delete_objects(kube: Kube, live_objects: Iterable[LiveObject], seconds: float = 0) -> None:
    """Delete objects and wait until they are gone.

    Raises NotReady for an object that remains after `seconds` (0: `timeouts.NAMESPACE_END`), with
    the reason.
    """
    by_ref = {live_object.ref: live_object for live_object in live_objects}
    for ref in by_ref:
        kube.delete(*ref.get_args, ref.uid)
    for live_object in by_ref.values():
        if live_object.kind.kind == _NAMESPACE:
            _end_pods(kube, live_object)
    seconds = seconds or timeouts.NAMESPACE_END
    wait_deleted(kube, by_ref, seconds, lambda ref: _explain_stuck(kube, by_ref[ref]))


def _end_pods(kube: Kube, namespace: LiveObject) -> None:
    """End the run's pods of a namespace now: the cluster itself would begin 5 s later.

    It only saves time, so a missing right is no error. Source: Kubernetes, namespace_controller.go,
    namespaceDeletionGracePeriod.
    """
    run = _read_labels(namespace).get(RUN_LABEL)
    labels = f"{RUN_LABEL}={run},{MANAGED_BY}={_MANAGER}"
    with contextlib.suppress(NotReady), kube.retrying_for(timeouts.API_START):
        bodies = [
            *kube.list("apps/v1", "Deployment", namespace.name, labels),
            *(pod for pod in kube.list("v1", "Pod", namespace.name, labels) if _is_bare(pod)),
        ]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda body: _end_object(kube, body), bodies))


def _is_bare(pod: Object) -> bool:
    """Say whether nothing replaces a pod that is deleted."""
    return not pod["metadata"].get("ownerReferences")


def _end_object(kube: Kube, body: Object) -> None:
    """Delete a pod, or scale a Deployment to zero; ignore a refusal."""
    name, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
    with contextlib.suppress(NotReady):
        if body["kind"] == "Pod":
            kube.delete("v1", "Pod", name, namespace)
        else:
            kube.merge_patch("apps/v1", "Deployment", name, namespace, {"spec": {"replicas": 0}})


def filter_existing(kube: Kube, live_objects: Iterable[LiveObject]) -> list[LiveObject]:
    """Return those objects that still exist."""
    return [live_object for live_object in live_objects if exists(kube, live_object.ref)]


def _explain_stuck(kube: Kube, live_object: LiveObject) -> str:
    """Explain why an object is not deleted."""
    if live_object.kind.kind == _NAMESPACE:
        return namespaces.explain_stuck(kube, live_object.name)
    finalizers = ", ".join(live_object.metadata.get("finalizers") or ())
    return (
        f"{live_object} does not go{f': it has the finalizers {finalizers}' if finalizers else ''}"
    )


def read_install_records(kube: Kube, leftover_run: LeftoverRun) -> list[Record]:
    """Return the records of the Istio that a run has installed."""
    return list(install_record.read_records(kube, leftover_run.namespaces))


def uninstall_istio(kube: Kube, leftover_run: LeftoverRun) -> None:
    """Remove the Istio that a run has installed, before its record goes. Raises NotReady."""
    for record in read_install_records(kube, leftover_run):
        install_record.remove_installation(kube, record)


def clear_dead_runs(kube: Kube) -> list[str]:
    """Delete what dead runs have left; return notes on what remains.

    What cannot be deleted, or belongs to a run of unknown state, is only noted: the next run can
    begin.
    """
    leftovers = find_leftovers(kube)
    notes = [
        f"{summarize(run)}; see `meshproof cleanup`" for run in leftovers.in_state(RunState.UNKNOWN)
    ]
    live_objects: list[LiveObject] = []
    for dead_run in leftovers.in_state(RunState.GONE):
        try:
            uninstall_istio(kube, dead_run)
            live_objects += dead_run.to_delete
        except NotReady as error:  # its record stays for the next try
            notes += str(error).splitlines()
    stuck = [live_object for live_object in live_objects if _is_stuck(live_object)]
    try:
        delete_objects(
            kube,
            [live_object for live_object in live_objects if live_object not in stuck],
            timeouts.LEFTOVERS_END,
        )
    except NotReady as error:
        notes += str(error).splitlines()
    notes += [_explain_stuck(kube, live_object) for live_object in filter_existing(kube, stuck)]
    return [f"left by another run: {note}" for note in notes]


def summarize(leftover_run: LeftoverRun) -> str:
    """Return a line on a run: its state and its objects."""
    return (
        f"run {leftover_run.run} ({leftover_run.status.reason}): "
        f"{', '.join(map(str, leftover_run.roots))}"
    )


def _is_stuck(live_object: LiveObject) -> bool:
    """Say whether an object has been in deletion for longer than a run waits."""
    deleted_at = live_object.metadata.get("deletionTimestamp")
    if not deleted_at:
        return False
    seconds = (datetime.now(UTC) - datetime.fromisoformat(str(deleted_at))).total_seconds()
    return seconds > timeouts.NAMESPACE_END


def end_run(kube: Kube, run: str) -> None:
    """Delete everything of a run that ends, and wait until it is gone.

    Checks each kind that the run has applied, in the whole cluster. Where the user may not list a
    namespaced kind everywhere, the run's namespaces prove it: they go only when they are empty.
    Raises NotReady for objects that remain and for a cluster-wide kind that cannot be listed.
    """
    applied = {(api_version.rpartition("/")[0], kind) for api_version, kind in kube.applied_kinds}
    applied.add(("", _NAMESPACE))
    kinds = [kind for kind in discover_kinds(kube) if (kind.group, kind.kind) in applied]
    delete_objects(
        kube,
        [
            live_object
            for leftover_run in find_leftovers(kube, kinds, run).runs
            for live_object in leftover_run.to_delete
        ],
    )
    leftovers = find_leftovers(kube, kinds, run)
    remaining = [
        str(live_object)
        for leftover_run in leftovers.runs
        for live_object in leftover_run.live_objects
    ]
    faults = [f"run {run} left {', '.join(remaining)}"] if remaining else []
    faults += [reason for kind, reason in leftovers.unseen.items() if not kind.is_namespaced]
    if faults:
        raise NotReady("\n".join(faults))
