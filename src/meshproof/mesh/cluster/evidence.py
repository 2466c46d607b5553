"""What a run leaves to look at before its namespaces go: logs, events, objects, proxy configs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from meshproof.errors import NotReady
from meshproof.mesh.cluster import proxies, workloads
from meshproof.mesh.cluster.client import Kube, Object, labels_of
from meshproof.mesh.cluster.forward import get
from meshproof.mesh.cluster.objects import Placed
from meshproof.mesh.cluster.probe import INJECT


def save(kube: Kube, namespaces: Sequence[str], labels: str, folder: Path) -> str:
    """Save what there is of a run's namespaces; return lines on what looks wrong.

    Secrets are not among it: neither the objects of that kind nor certificates in config dumps
    (Envoy itself redacts private keys).
    """
    folder.mkdir(parents=True, exist_ok=True)
    pods = workloads.pods(kube, namespaces, labels)
    said = [words for pod in pods for words in _wrong(pod)]
    said += _empty_subsets(kube, namespaces, pods)
    for name in namespaces:
        events = kube.list("v1", "Event", name)
        (folder / f"events-{name}.json").write_text(json.dumps(events, indent=1), encoding="utf-8")
    (folder / "pods.json").write_text(json.dumps(pods, indent=1), encoding="utf-8")
    with ThreadPoolExecutor(8) as pool:
        lines = pool.map(lambda pod: list(_save_pod(kube, pod, folder)), pods)
        said += [line for found in lines for line in found]
    return "\n".join(said)


def _save_pod(kube: Kube, pod: Object, folder: Path) -> Iterable[str]:
    name, namespace = str(pod["metadata"]["name"]), str(pod["metadata"]["namespace"])
    for container in pod["spec"]["containers"]:
        try:
            text = kube.log(name, namespace, str(container["name"]))
        except NotReady as error:
            yield str(error)
            continue
        (folder / f"{name}.{container['name']}.log").write_text(text, encoding="utf-8")
    if not proxies.running(pod) or not proxies.has_sidecar(pod):
        return
    try:
        text = get(kube, name, namespace, proxies.ADMIN_PORT, "/config_dump")
    except NotReady as error:
        yield str(error)
        return
    (folder / f"{name}.config_dump.json").write_text(text, encoding="utf-8")


def hosts_without_service(kube: Kube, placed: Iterable[Placed]) -> Iterable[str]:
    """Yield the short hosts of VirtualServices that are no Service of their namespace.

    A short name is one of the rule's own namespace (Istio reference, VirtualService.hosts).
    """
    for one in placed:
        if one.kind != "VirtualService":
            continue
        for host in one.body["spec"].get("hosts") or ():
            if "." in host or host == "*" or kube.get("v1", "Service", host, one.namespace):
                continue
            yield (
                f"{one.at}: there is no Service {host} in namespace {one.namespace}: is "
                f"VirtualService {one.name} in the wrong namespace?"
            )


def _empty_subsets(kube: Kube, namespaces: Sequence[str], pods: Sequence[Object]) -> Iterable[str]:
    """Yield the subsets of the run's DestinationRules that select none of its pods."""
    for name in namespaces:
        for rule in kube.list("networking.istio.io/v1", "DestinationRule", name):
            for subset in rule["spec"].get("subsets") or ():
                wanted = (subset.get("labels") or {}).items()
                if not any(wanted <= labels_of(pod).items() for pod in pods):
                    words = ", ".join(f"{key}={value}" for key, value in wanted)
                    yield (
                        f"DestinationRule {rule['metadata']['name']}: subset {subset['name']} "
                        f"({words}) selects no pod"
                    )


def _wrong(pod: Object) -> Iterable[str]:
    name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    if not proxies.has_sidecar(pod) and labels_of(pod).get(INJECT) != "false":
        yield f"{name} has no sidecar"
    for one in (pod.get("status") or {}).get("containerStatuses") or ():
        if one.get("restartCount"):
            yield f"{name}: container {one['name']} was restarted {one['restartCount']} times"
        elif not one.get("ready"):
            yield f"{name}: container {one['name']} is not ready"
