"""What runs have left in a cluster: found by their label in every kind, deleted by it, waited for.

A run's objects lie in namespaces of its own, so what is in one goes with it. What carries the label
elsewhere is deleted one by one, if it says that meshproof manages it.
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
    """What carries the label of one run, and whether that run goes on."""

    run: str
    status: RunStatus
    live_objects: Sequence[LiveObject]

    @property
    def namespaces(self) -> list[str]:
        """The namespaces of the run."""
        return [one.name for one in self.live_objects if one.kind.kind == _NAMESPACE]

    @property
    def outside(self) -> list[LiveObject]:
        """What lies in no namespace of the run and goes with no other object."""
        within = set(self.namespaces)
        return [
            one
            for one in self.live_objects
            if one.kind.kind != _NAMESPACE
            and one.namespace not in within
            and not one.metadata.get("ownerReferences")
        ]

    @property
    def to_delete(self) -> list[LiveObject]:
        """What must be deleted for all of it to go, as far as it says that it is ours."""
        return [one for one in self.roots if _read_labels(one).get(MANAGED_BY) == _MANAGER]

    @property
    def roots(self) -> list[LiveObject]:
        """Its namespaces, and what lies in none of them."""
        return [*(one for one in self.live_objects if one.kind.kind == _NAMESPACE), *self.outside]

    @property
    def foreign(self) -> list[LiveObject]:
        """What carries the run's label, but not that of meshproof: whose it is nobody knows."""
        return [one for one in self.roots if one not in self.to_delete]


@dataclass
class Leftovers:
    """The runs of a cluster, and the kinds that could not be looked at, each with the reason."""

    runs: list[LeftoverRun]
    unseen: dict[Kind, str]

    def in_state(self, state: RunState) -> list[LeftoverRun]:
        """Return the runs that are in a state."""
        return [one for one in self.runs if one.status.state is state]


def _read_labels(item: LiveObject) -> dict[str, str]:
    return dict(item.metadata.get("labels") or {})


def find_leftovers(kube: Kube, kinds: Sequence[Kind] | None = None, run: str = "") -> Leftovers:
    """Look in all kinds of the cluster (or those given) for what runs have left, or one run.

    Raises NotReady when namespaces cannot be looked at; other kinds that cannot are `unseen`.
    """
    label = f"{RUN_LABEL}={run}" if run else RUN_LABEL
    if kinds is None:
        items, unseen = list_objects(kube, discover_kinds(kube), label)
    else:
        items, unseen = list_objects(kube, kinds, label, patience=timeouts.API_AWAY)
    for kind, words in unseen.items():
        if kind.kind == _NAMESPACE:
            raise NotReady(words)
    by_run: dict[str, list[LiveObject]] = {}
    for item in sorted(items, key=str):
        by_run.setdefault(_read_labels(item)[RUN_LABEL], []).append(item)
    return Leftovers(
        [LeftoverRun(name, _judge_run_status(of), of) for name, of in sorted(by_run.items())],
        unseen,
    )


def _judge_run_status(items: Sequence[LiveObject]) -> RunStatus:
    """Return how a run stands: by all of its objects that tell, each namespace being one.

    One that lives decides before one that does not tell, that before one that is gone.
    """
    noted = [one for one in items if one.kind.kind == _NAMESPACE or _owner_annotations(one)]
    found = [ownership.read_run_status(_owner_annotations(one)) for one in noted]
    for state in (RunState.LIVES, RunState.UNKNOWN, RunState.GONE):
        for one in found:
            if one.state is state:
                return one
    return RunStatus(RunState.UNKNOWN, f"nothing of it has the annotation {ownership.OWNER}")


def _owner_annotations(item: LiveObject) -> dict[str, str]:
    found = item.metadata.get("annotations") or {}
    return {key: found[key] for key in (ownership.OWNER, ownership.UNTIL) if key in found}


def delete_objects(kube: Kube, items: Iterable[LiveObject], seconds: float = 0) -> None:
    """Delete objects and wait until they are gone.

    Raises NotReady for what does not go in `seconds` (0: `timeouts.NAMESPACE_END`), naming what
    holds it.
    """
    by_key = {one.ref: one for one in items}
    for key in by_key:
        kube.delete(*key.get_args, key.uid)
    for one in by_key.values():
        if one.kind.kind == _NAMESPACE:
            _end_pods(kube, one)
    seconds = seconds or timeouts.NAMESPACE_END
    wait_deleted(kube, by_key, seconds, lambda key: _explain_stuck(kube, by_key[key]))


def _end_pods(kube: Kube, namespace: LiveObject) -> None:
    """Have the pods of a run end now: the cluster begins with a namespace 5 s after its deletion.

    That is all that this changes: who may not is not told so. Source: Kubernetes,
    namespace_controller.go, namespaceDeletionGracePeriod.
    """
    run = _read_labels(namespace).get(RUN_LABEL)
    labels = f"{RUN_LABEL}={run},{MANAGED_BY}={_MANAGER}"
    with contextlib.suppress(NotReady), kube.retrying_for(timeouts.API_START):
        found = [
            *kube.list("apps/v1", "Deployment", namespace.name, labels),
            *(one for one in kube.list("v1", "Pod", namespace.name, labels) if _is_bare(one)),
        ]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda one: _end_object(kube, one), found))


def _is_bare(pod: Object) -> bool:
    """Say whether nobody makes another one in the place of a pod."""
    return not pod["metadata"].get("ownerReferences")


def _end_object(kube: Kube, found: Object) -> None:
    name, namespace = found["metadata"]["name"], found["metadata"]["namespace"]
    with contextlib.suppress(NotReady):
        if found["kind"] == "Pod":
            kube.delete("v1", "Pod", name, namespace)
        else:
            kube.merge_patch("apps/v1", "Deployment", name, namespace, {"spec": {"replicas": 0}})


def filter_existing(kube: Kube, items: Iterable[LiveObject]) -> list[LiveObject]:
    """Return those of some objects that are not gone."""
    return [one for one in items if exists(kube, one.ref)]


def _explain_stuck(kube: Kube, item: LiveObject) -> str:
    if item.kind.kind == _NAMESPACE:
        return namespaces.explain_stuck(kube, item.name)
    finalizers = ", ".join(item.metadata.get("finalizers") or ())
    return f"{item} does not go{f': it has the finalizers {finalizers}' if finalizers else ''}"


def read_install_records(kube: Kube, left: LeftoverRun) -> list[Record]:
    """Return what a run has installed of Istio: its record is in a namespace of the run."""
    return list(install_record.read_records(kube, left.namespaces))


def uninstall_istio(kube: Kube, left: LeftoverRun) -> None:
    """Remove what a run has installed of Istio, before its record goes. Raises NotReady."""
    for record in read_install_records(kube, left):
        install_record.remove_installation(kube, record)


def clear_dead_runs(kube: Kube) -> list[str]:
    """Delete what dead runs have left, before a run begins; return what is to be told of it.

    What does not go, or whose run nobody can tell, is told: it does not keep a run from beginning.
    """
    found = find_leftovers(kube)
    said = [
        f"{summarize(one)}; see `meshproof cleanup`" for one in found.in_state(RunState.UNKNOWN)
    ]
    live_objects: list[LiveObject] = []
    for one in found.in_state(RunState.GONE):
        try:
            uninstall_istio(kube, one)
            live_objects += one.to_delete
        except NotReady as error:  # its record stays, for the next who tries
            said += str(error).splitlines()
    stuck = [one for one in live_objects if _is_stuck(one)]
    try:
        delete_objects(
            kube, [one for one in live_objects if one not in stuck], timeouts.LEFTOVERS_END
        )
    except NotReady as error:
        said += str(error).splitlines()
    said += [_explain_stuck(kube, one) for one in filter_existing(kube, stuck)]
    return [f"left by another run: {one}" for one in said]


def summarize(left: LeftoverRun) -> str:
    """Return what is there of a run and how the run stands, in a line."""
    return f"run {left.run} ({left.status.why}): {', '.join(map(str, left.roots))}"


def _is_stuck(item: LiveObject) -> bool:
    """Say whether an object is being deleted for longer than one waits for it."""
    since = item.metadata.get("deletionTimestamp")
    if not since:
        return False
    seconds = (datetime.now(UTC) - datetime.fromisoformat(str(since))).total_seconds()
    return seconds > timeouts.NAMESPACE_END


def end_run(kube: Kube, run: str) -> None:
    """Delete everything of a run that ends and wait until it is gone.

    Looks at each kind of which it has applied objects, in the whole cluster. A kind of objects in
    namespaces that the user may not list everywhere is shown to be gone by the run's namespaces:
    they go when nothing is in them. Raises NotReady for what does not go, what is left, and for a
    kind of the whole cluster that cannot be looked at.
    """
    applied = {(api_version.rpartition("/")[0], kind) for api_version, kind in kube.applied_kinds}
    applied.add(("", _NAMESPACE))
    kinds = [one for one in discover_kinds(kube) if (one.group, one.kind) in applied]
    delete_objects(
        kube, [item for one in find_leftovers(kube, kinds, run).runs for item in one.to_delete]
    )
    after = find_leftovers(kube, kinds, run)
    left = [str(item) for one in after.runs for item in one.live_objects]
    words = [f"run {run} left {', '.join(left)}"] if left else []
    words += [why for kind, why in after.unseen.items() if not kind.is_namespaced]
    if words:
        raise NotReady("\n".join(words))
