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
from meshproof.mesh.cluster.api.kinds import AT_ONCE, Item, Kind, known, listed
from meshproof.mesh.cluster.api.object_ref import is_there, wait_gone
from meshproof.mesh.cluster.api.objects import MANAGED_BY, RUN_LABEL
from meshproof.mesh.cluster.istio import install_record
from meshproof.mesh.cluster.istio.install_record import Record
from meshproof.mesh.cluster.run import namespaces, ownership
from meshproof.mesh.cluster.run.ownership import Standing, State

_NAMESPACE = "Namespace"
_MANAGER = "meshproof"


@dataclass(frozen=True)
class Left:
    """What carries the label of one run, and whether that run goes on."""

    run: str
    standing: Standing
    items: Sequence[Item]

    @property
    def namespaces(self) -> list[str]:
        """The namespaces of the run."""
        return [one.name for one in self.items if one.kind.kind == _NAMESPACE]

    @property
    def outside(self) -> list[Item]:
        """What lies in no namespace of the run and goes with no other object."""
        within = set(self.namespaces)
        return [
            one
            for one in self.items
            if one.kind.kind != _NAMESPACE
            and one.namespace not in within
            and not one.metadata.get("ownerReferences")
        ]

    @property
    def to_delete(self) -> list[Item]:
        """What must be deleted for all of it to go, as far as it says that it is ours."""
        return [one for one in self.whole if _labels(one).get(MANAGED_BY) == _MANAGER]

    @property
    def whole(self) -> list[Item]:
        """Its namespaces, and what lies in none of them."""
        return [*(one for one in self.items if one.kind.kind == _NAMESPACE), *self.outside]

    @property
    def foreign(self) -> list[Item]:
        """What carries the run's label, but not that of meshproof: whose it is nobody knows."""
        return [one for one in self.whole if one not in self.to_delete]


@dataclass
class Found:
    """The runs of a cluster, and the kinds that could not be looked at, each with the reason."""

    runs: list[Left]
    unseen: dict[Kind, str]

    def of(self, state: State) -> list[Left]:
        """Return the runs that are in a state."""
        return [one for one in self.runs if one.standing.state is state]


def _labels(item: Item) -> dict[str, str]:
    return dict(item.metadata.get("labels") or {})


def find(kube: Kube, kinds: Sequence[Kind] | None = None, run: str = "") -> Found:
    """Look in all kinds of the cluster (or those given) for what runs have left, or one run.

    Raises NotReady when namespaces cannot be looked at; other kinds that cannot are `unseen`.
    """
    label = f"{RUN_LABEL}={run}" if run else RUN_LABEL
    if kinds is None:
        items, unseen = listed(kube, known(kube), label)
    else:
        items, unseen = listed(kube, kinds, label, patience=timeouts.API_AWAY)
    for kind, words in unseen.items():
        if kind.kind == _NAMESPACE:
            raise NotReady(words)
    by_run: dict[str, list[Item]] = {}
    for item in sorted(items, key=str):
        by_run.setdefault(_labels(item)[RUN_LABEL], []).append(item)
    return Found([Left(name, _standing(of), of) for name, of in sorted(by_run.items())], unseen)


def _standing(items: Sequence[Item]) -> Standing:
    """Return how a run stands: by all of its objects that tell, each namespace being one.

    One that lives decides before one that does not tell, that before one that is gone.
    """
    noted = [one for one in items if one.kind.kind == _NAMESPACE or _notes(one)]
    found = [ownership.standing(_notes(one)) for one in noted]
    for state in (State.LIVES, State.UNKNOWN, State.GONE):
        for one in found:
            if one.state is state:
                return one
    return Standing(State.UNKNOWN, f"nothing of it has the annotation {ownership.OWNER}")


def _notes(item: Item) -> dict[str, str]:
    found = item.metadata.get("annotations") or {}
    return {key: found[key] for key in (ownership.OWNER, ownership.UNTIL) if key in found}


def delete(kube: Kube, items: Iterable[Item], seconds: float = 0) -> None:
    """Delete objects and wait until they are gone.

    Raises NotReady for what does not go in `seconds` (0: `timeouts.NAMESPACE_END`), naming what
    holds it.
    """
    by_key = {one.key: one for one in items}
    for key in by_key:
        kube.delete(*key.asked, key.uid)
    for one in by_key.values():
        if one.kind.kind == _NAMESPACE:
            _hasten(kube, one)
    seconds = seconds or timeouts.NAMESPACE_END
    wait_gone(kube, by_key, seconds, lambda key: _held(kube, by_key[key]))


def _hasten(kube: Kube, namespace: Item) -> None:
    """Have the pods of a run end now: the cluster begins with a namespace 5 s after its deletion.

    That is all that this changes: who may not is not told so. Source: Kubernetes,
    namespace_controller.go, namespaceDeletionGracePeriod.
    """
    run = _labels(namespace).get(RUN_LABEL)
    labels = f"{RUN_LABEL}={run},{MANAGED_BY}={_MANAGER}"
    with contextlib.suppress(NotReady), kube.patient(timeouts.API_START):
        found = [
            *kube.list("apps/v1", "Deployment", namespace.name, labels),
            *(one for one in kube.list("v1", "Pod", namespace.name, labels) if _is_bare(one)),
        ]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda one: _end(kube, one), found))


def _is_bare(pod: Object) -> bool:
    """Say whether nobody makes another one in the place of a pod."""
    return not pod["metadata"].get("ownerReferences")


def _end(kube: Kube, found: Object) -> None:
    name, namespace = found["metadata"]["name"], found["metadata"]["namespace"]
    with contextlib.suppress(NotReady):
        if found["kind"] == "Pod":
            kube.delete("v1", "Pod", name, namespace)
        else:
            kube.merge("apps/v1", "Deployment", name, namespace, {"spec": {"replicas": 0}})


def still_there(kube: Kube, items: Iterable[Item]) -> list[Item]:
    """Return those of some objects that are not gone."""
    return [one for one in items if is_there(kube, one.key)]


def _held(kube: Kube, item: Item) -> str:
    if item.kind.kind == _NAMESPACE:
        return namespaces.held(kube, item.name)
    finalizers = ", ".join(item.metadata.get("finalizers") or ())
    return f"{item} does not go{f': it has the finalizers {finalizers}' if finalizers else ''}"


def installed(kube: Kube, left: Left) -> list[Record]:
    """Return what a run has installed of Istio: its record is in a namespace of the run."""
    return list(install_record.read(kube, left.namespaces))


def uninstall(kube: Kube, left: Left) -> None:
    """Remove what a run has installed of Istio, before its record goes. Raises NotReady."""
    for record in installed(kube, left):
        install_record.remove(kube, record)


def clear(kube: Kube) -> list[str]:
    """Delete what dead runs have left, before a run begins; return what is to be told of it.

    What does not go, or whose run nobody can tell, is told: it does not keep a run from beginning.
    """
    found = find(kube)
    said = [f"{told(one)}; see `meshproof cleanup`" for one in found.of(State.UNKNOWN)]
    items: list[Item] = []
    for one in found.of(State.GONE):
        try:
            uninstall(kube, one)
            items += one.to_delete
        except NotReady as error:  # its record stays, for the next who tries
            said += str(error).splitlines()
    stuck = [one for one in items if _is_stuck(one)]
    try:
        delete(kube, [one for one in items if one not in stuck], timeouts.LEFTOVERS_END)
    except NotReady as error:
        said += str(error).splitlines()
    said += [_held(kube, one) for one in still_there(kube, stuck)]
    return [f"left by another run: {one}" for one in said]


def told(left: Left) -> str:
    """Return what is there of a run and how the run stands, in a line."""
    return f"run {left.run} ({left.standing.why}): {', '.join(map(str, left.whole))}"


def _is_stuck(item: Item) -> bool:
    """Say whether an object is being deleted for longer than one waits for it."""
    since = item.metadata.get("deletionTimestamp")
    if not since:
        return False
    seconds = (datetime.now(UTC) - datetime.fromisoformat(str(since))).total_seconds()
    return seconds > timeouts.NAMESPACE_END


def end(kube: Kube, run: str) -> None:
    """Delete everything of a run that ends and wait until it is gone.

    Looks at each kind of which it has applied objects, in the whole cluster. A kind of objects in
    namespaces that the user may not list everywhere is shown to be gone by the run's namespaces:
    they go when nothing is in them. Raises NotReady for what does not go, what is left, and for a
    kind of the whole cluster that cannot be looked at.
    """
    applied = {(api_version.rpartition("/")[0], kind) for api_version, kind in kube.applied}
    applied.add(("", _NAMESPACE))
    kinds = [one for one in known(kube) if (one.group, one.kind) in applied]
    delete(kube, [item for one in find(kube, kinds, run).runs for item in one.to_delete])
    after = find(kube, kinds, run)
    left = [str(item) for one in after.runs for item in one.items]
    words = [f"run {run} left {', '.join(left)}"] if left else []
    words += [why for kind, why in after.unseen.items() if not kind.namespaced]
    if words:
        raise NotReady("\n".join(words))
