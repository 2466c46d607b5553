"""Saves a run's logs, events, objects and proxy configs before its namespaces go.

Secrets are removed before anything is written (`redaction`); objects of the kind Secret are not
even read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from meshproof.base import redaction, timeouts
from meshproof.base.clues import Clue
from meshproof.base.errors import NotReady
from meshproof.base.files import name_file
from meshproof.documents.plain import make_document
from meshproof.inventory.destination_rules import read_destination_rules
from meshproof.mesh.cluster.api import describe
from meshproof.mesh.cluster.api.client import Kube, Object, labels_of
from meshproof.mesh.cluster.api.objects import RunObject
from meshproof.mesh.cluster.api.port_forward import get_from_pod
from meshproof.mesh.cluster.proxies import proxies
from meshproof.mesh.cluster.run import workloads
from meshproof.mesh.cluster.run.probe import INJECT_LABEL

#: Kinds that are saved in another way, or never.
_NOT_AS_OBJECTS = ("Namespace", "Pod", "Secret")
_LOG_LINES = 2000
#: The most characters of a config that is saved whole. With thousands of services it is larger,
#: is mostly about other people, and redaction takes a second for 3 MB.
_MAX_WHOLE_CONFIG = 5_000_000


@dataclass(frozen=True)
class EvidenceSources:
    """What to save of a run: its namespaces, its pods' label selector, its name.

    `status` returns the control plane's line on each proxy. `gateways` are shared proxies: of their
    config only parts that contain `run_name` are saved.
    """

    namespaces: Sequence[str]
    labels: str
    run_name: str
    status: Callable[[], Iterable[str]] = tuple
    gateways: Callable[[], Iterable[proxies.Proxy]] = tuple


def save(kube: Kube, sources: EvidenceSources, folder: Path) -> list[Clue]:
    """Save the evidence of a run in `folder`; return what looks wrong.

    `not-saved.txt` lists what could not be read, for example without the right. What takes longer
    than `timeouts.EVIDENCE` is skipped; a clue says so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    saver = _Saver(kube, sources, folder)
    with kube.retrying_for(timeouts.ADMIN):
        return saver.save_all()


class _Saver:
    """Saves the evidence of one run and notes what could not be read."""

    def __init__(self, kube: Kube, sources: EvidenceSources, folder: Path) -> None:
        self._kube = kube
        self._sources = sources
        self._folder = folder
        self._deadline = time.monotonic() + timeouts.EVIDENCE
        self._is_late = False
        self._unsaved: list[str] = []

    def save_all(self) -> list[Clue]:
        """Save everything; return what looks wrong."""
        kube, sources = self._kube, self._sources
        pods = (
            self._try_read(lambda: workloads.list_pods(kube, sources.namespaces, sources.labels))
            or []
        )
        clues = [clue for pod in pods for clue in _find_pod_faults(pod)]
        clues += (
            self._try_read(lambda: [*_find_empty_subsets(kube, sources.namespaces, pods)]) or []
        )
        self._write("pods.json", pods)
        events = [event for name in sources.namespaces for event in self._save_events(name)]
        jobs: list[Callable[[], None]] = [partial(self._save_pod, pod, events) for pod in pods]
        jobs += [self._save_proxy_status, self._save_objects]
        jobs += [
            partial(self._save_run_config, gateway)
            for gateway in self._try_read(sources.gateways) or ()
        ]
        with ThreadPoolExecutor(proxies.AT_ONCE) as pool:
            for future in [pool.submit(job) for job in jobs]:
                future.result()
        if self._unsaved:
            self._write("not-saved.txt", "\n".join([*self._unsaved, ""]))
        if self._is_late:
            clues.append(Clue("", f"the evidence is not complete after {timeouts.EVIDENCE:.0f} s"))
        return clues

    def _try_read(self, read: Callable[[], Any]) -> Any:
        """Return what `read` returns; None if it fails or the time is over."""
        if time.monotonic() > self._deadline:
            self._is_late = True
            return None
        try:
            return read()
        except NotReady as error:
            self._unsaved.append(str(error))
            return None

    def _write(self, name: str, content: Any) -> None:
        """Write a text, or an object as JSON, without its secrets."""
        if content is None:
            return
        if isinstance(content, str):
            text = redaction.redact_text(content)
        else:
            text = json.dumps(redaction.redact_value(content), indent=1)
        (self._folder / name_file(name)).write_text(text, encoding="utf-8")

    def _save_events(self, namespace: str) -> list[Object]:
        """Save and return the events of a namespace."""
        events: list[Object] = (
            self._try_read(lambda: self._kube.list("v1", "Event", namespace)) or []
        )
        self._write(f"events-{namespace}.json", events)
        return events

    def _save_proxy_status(self) -> None:
        """Save the control plane's line on each proxy."""
        lines = self._try_read(lambda: [*self._sources.status()])
        if lines:
            self._write("proxy-status.txt", "\n".join([*lines, ""]))

    def _save_objects(self) -> None:
        """Save the run's objects of every kind that it has applied."""
        bodies = [
            body
            for api_version, kind in sorted(self._kube.applied_kinds)
            if kind not in _NOT_AS_OBJECTS
            for namespace in self._sources.namespaces
            for body in self._try_read(partial(self._kube.list, api_version, kind, namespace)) or ()
        ]
        self._write("objects.json", bodies)

    def _save_pod(self, pod: Object, events: Sequence[Object]) -> None:
        """Save a pod's logs and config; also a description if something is wrong with it."""
        name, namespace = str(pod["metadata"]["name"]), str(pod["metadata"]["namespace"])
        if [*_find_pod_faults(pod)]:
            described = describe.describe_pod(redaction.redact_value(pod), events)
            self._write(f"{name}.describe.txt", described)
        for state in describe.container_states(pod):
            container = str(state["name"])
            if state.get("state", {}).get("waiting") is None or state.get("restartCount"):
                self._save_log(f"{name}.{container}.log", name, namespace, container, False)
            if state.get("restartCount"):
                self._save_log(f"{name}.{container}.previous.log", name, namespace, container, True)
        if proxies.is_running(pod) and proxies.has_sidecar(pod):
            self._save_config(proxies.Proxy(name, namespace))

    def _save_config(self, proxy: proxies.Proxy) -> None:
        """Save a sidecar's config; of a very large one only the run's part."""
        request = (proxy.pod, proxy.namespace, proxies.ADMIN_PORT, "/config_dump")
        dump = self._try_read(partial(get_from_pod, self._kube, *request))
        if dump is None:
            return
        if len(dump) <= _MAX_WHOLE_CONFIG:
            self._write(f"{proxy.pod}.config_dump.json", json.loads(dump))
            return
        size = f"{len(dump) / 1e6:.0f} MB"
        self._unsaved.append(f"{proxy.pod}: of a config of {size} only what is the run's is saved")
        self._save_run_config(proxy)

    def _save_log(
        self, file: str, pod: str, namespace: str, container: str, previous: bool
    ) -> None:
        """Save the log of a container."""
        read = partial(self._kube.read_log, pod, namespace, container, _LOG_LINES, previous)
        self._write(file, self._try_read(read))

    def _save_run_config(self, proxy: proxies.Proxy) -> None:
        """Save the run's routes and clusters of a proxy."""
        run_parts = self._try_read(
            lambda: proxies.read_run_parts(self._kube, proxy, self._sources.run_name)
        )
        self._write(f"{proxy.pod}.own_config.json", run_parts)


def find_hosts_without_service(kube: Kube, run_objects: Iterable[RunObject]) -> Iterable[Clue]:
    """Yield a clue for each short host of a VirtualService that is no Service there.

    A short name belongs to the rule's namespace (Istio reference, VirtualService.hosts).
    """
    for run_object in run_objects:
        if run_object.kind != "VirtualService":
            continue
        for host in run_object.body["spec"].get("hosts") or ():
            if "." in host or host == "*" or kube.get("v1", "Service", host, run_object.namespace):
                continue
            yield Clue(
                str(run_object.at),
                f"there is no Service {host} in namespace {run_object.namespace}: "
                f"is VirtualService {run_object.name} in the wrong namespace?",
            )


def _find_empty_subsets(
    kube: Kube, namespaces: Sequence[str], pods: Sequence[Object]
) -> Iterable[Clue]:
    """Yield a clue for each subset of the run's DestinationRules that selects no pod."""
    for name in namespaces:
        bodies = kube.list("networking.istio.io/v1", "DestinationRule", name)
        for rule in read_destination_rules(make_document(body, name) for body in bodies):
            for subset in rule.subsets:
                if not any(set(subset.labels) <= labels_of(pod).items() for pod in pods):
                    label_list = ", ".join(f"{key}={value}" for key, value in subset.labels)
                    yield Clue(
                        f"DestinationRule {rule.document.name}",
                        f"subset {subset.name} ({label_list}) selects no pod",
                    )


def _find_pod_faults(pod: Object) -> Iterable[Clue]:
    """Yield a clue for a missing sidecar and for each container that restarted or is not ready."""
    name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    if not proxies.has_sidecar(pod) and labels_of(pod).get(INJECT_LABEL) != "false":
        yield Clue(name, "it has no sidecar")
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        if container.get("restartCount"):
            restarts = container["restartCount"]
            yield Clue(name, f"container {container['name']} was restarted {restarts} times")
        elif not container.get("ready"):
            yield Clue(name, f"container {container['name']} is not ready")
