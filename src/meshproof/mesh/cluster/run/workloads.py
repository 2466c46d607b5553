"""Deployments of a run: waited for, and when one does not come up, why, in the cluster's words."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.base.waiting import wait_for
from meshproof.mesh.cluster.api.client import Kube, Object
from meshproof.mesh.cluster.api.describe import container_states
from meshproof.mesh.cluster.ingress import gateway_api
from meshproof.mesh.cluster.proxies.proxies import has_sidecar
from meshproof.mesh.cluster.run import redaction
from meshproof.mesh.protocol import Replica

#: So many lines of a log are told, of those without secrets.
_LOG_LINES = 5
#: Reasons of a waiting container that do not pass by themselves in the time of a run
#: (Kubernetes docs, "Images" and "Pod Lifecycle"): those of its image, and all.
_IMAGE_FAILURES = ("ErrImageNeverPull", "ErrImagePull", "ImagePullBackOff", "InvalidImageName")
_PERMANENT_FAILURES = (
    *_IMAGE_FAILURES,
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
)


def list_pods(kube: Kube, namespaces: Sequence[str], labels: str) -> list[Object]:
    """Return the pods of the namespaces that have the labels.

    Without those that end, and without the proxies of a Gateway, which take over its labels.
    """
    pods_with_labels = [
        pod
        for name in namespaces
        for pod in kube.list("v1", "Pod", name, f"{labels},!{gateway_api.NAME_LABEL}")
    ]
    return [pod for pod in pods_with_labels if not pod["metadata"].get("deletionTimestamp")]


def make_replica(pod: Object) -> Replica:
    """Return a pod as a suite knows it."""
    metadata = pod["metadata"]
    labels = metadata.get("labels") or {}
    workload = str(metadata.get("generateName", metadata["name"])).rstrip("-")
    return Replica(
        str(metadata["name"]),
        workload.removesuffix(f"-{labels.get('pod-template-hash')}"),
        str(metadata["namespace"]),
        labels.get("app", ""),
        labels.get("version", ""),
    )


def wait_available(kube: Kube, namespaces: Sequence[str], labels: str) -> None:
    """Wait until every Deployment with the labels has all its pods.

    Raises NotReady naming the pod that does not come up and why, with the last lines of its log; at
    once for a reason that does not pass by itself, and soon where the cluster takes no pod at all.
    """
    waiting: list[str] = ["nothing was seen of them"]
    refused_since: dict[str, float] = {}

    def poll() -> bool | None:
        waiting[:] = []
        for name in namespaces:
            for deployment in kube.list("apps/v1", "Deployment", name, labels):
                if not _is_complete(deployment):
                    waiting.append(f"{name}/{deployment['metadata']['name']}")
                    _require_admitted(deployment, waiting[-1], refused_since)
        if waiting:
            for pod in list_pods(kube, namespaces, labels):
                if reason := _find_permanent_failure(pod):
                    raise NotReady(_explain_pod(kube, pod, reason))
        return None if waiting else True

    def explain() -> str:
        late = [pod for pod in list_pods(kube, namespaces, labels) if not _is_ready(pod)]
        lines = [_explain_pod(kube, pod, _describe_state(pod)) for pod in late[:3]] or [
            *_list_warnings(kube, namespaces)
        ]
        return "\n".join(
            [f"not available after {timeouts.APPS_START:.0f} s: {', '.join(waiting)}", *lines]
        )

    wait_for(poll, timeouts.APPS_START, explain, timeouts.POLL_SLOW)


def wait_running(kube: Kube, namespace: str, name: str) -> None:
    """Wait until a pod runs with all its containers ready. Raises NotReady with why it does not."""

    def poll() -> bool | None:
        pod = kube.get("v1", "Pod", name, namespace)
        if pod is not None and (reason := _find_permanent_failure(pod)):
            raise NotReady(_explain_pod(kube, pod, reason))
        return True if pod is not None and _is_ready(pod) else None

    def explain() -> str:
        pod = kube.get("v1", "Pod", name, namespace)
        if pod is None:
            return f"{namespace}/{name} is gone"
        return _explain_pod(kube, pod, _describe_state(pod))

    wait_for(poll, timeouts.APPS_START, explain, timeouts.POLL_SLOW)


def check_injected(kube: Kube, namespaces: Sequence[str], labels: str) -> None:
    """Raise NotReady naming each pod of the run that has no sidecar."""
    uninjected = [
        f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        for pod in list_pods(kube, namespaces, labels)
        if not has_sidecar(pod)
    ]
    if uninjected:
        raise NotReady(
            f"no sidecar was injected into {', '.join(uninjected)}: look at the labels of the namespace "
            "(istio-injection, istio.io/rev) and at the sidecar injector of that revision"
        )


def _is_complete(deployment: Object) -> bool:
    status, replicas = deployment.get("status") or {}, deployment["spec"].get("replicas", 1)
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == replicas
        and status.get("availableReplicas", 0) == replicas
        and status.get("replicas", 0) == replicas
    )


def _require_admitted(deployment: Object, name: str, refused_since: dict[str, float]) -> None:
    """Raise NotReady where admission (PodSecurity, a quota, a LimitRange) goes on refusing pods.

    `refused_since` keeps when that was first seen. What cannot be asked (a webhook) may come back.
    """
    conditions = (deployment.get("status") or {}).get("conditions") or ()
    messages = [
        condition.get("message", "")
        for condition in conditions
        if condition["type"] == "ReplicaFailure"
    ]
    refused = next((message for message in messages if " is forbidden: " in message), "")
    if not refused:
        refused_since.pop(name, None)
    elif time.monotonic() - refused_since.setdefault(name, time.monotonic()) > timeouts.REFUSED:
        raise explain_pod_security(NotReady(f"{name}: {refused}"), name.partition("/")[0])


def explain_pod_security(error: NotReady, namespace: str) -> NotReady:
    """Return the error with what to do where PodSecurity refuses a sidecar."""
    message = str(error)
    if "PodSecurity" not in message:
        return error
    if "istio-init" in message:
        return NotReady(
            f"namespace {namespace} does not take a sidecar: its init container istio-init needs "
            "NET_ADMIN and NET_RAW, which PodSecurity `restricted` and `baseline` forbid. Install "
            "Istio's CNI plugin (`istioctl install --set components.cni.enabled=true`), with which "
            f"there is no istio-init, or use a namespace without that label.\n{message}"
        )
    return NotReady(f"namespace {namespace} does not take the pod: {message}")


def describe_unready(pod: Object) -> Iterator[str]:
    """Yield in words that a pod is not ready and what it waits for."""
    if not _is_ready(pod):
        yield f"{pod['metadata']['namespace']}/{pod['metadata']['name']}: {_describe_state(pod)}"


def describe_late_pods(kube: Kube, pods: Sequence[Object]) -> list[str]:
    """Return for each pod that is not ready why, with the end of the log of what restarts."""
    return [
        _explain_pod(kube, pod, _find_permanent_failure(pod) or _describe_state(pod))
        for pod in pods
        if not _is_ready(pod)
    ]


def is_container_ready(pod: Object, name: str) -> bool:
    """Say whether a container of a pod is ready."""
    return any(
        container["name"] == name and container.get("ready") for container in container_states(pod)
    )


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(
        condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions
    )


def describe_pull_failure(pod: Object) -> str:
    """Return in words why an image of a pod cannot be had; empty where nothing says so."""
    return _find_permanent_failure(pod, _IMAGE_FAILURES)


def _find_permanent_failure(pod: Object, reasons: Sequence[str] = _PERMANENT_FAILURES) -> str:
    for container in container_states(pod):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in reasons:
            return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    return ""


def _describe_state(pod: Object) -> str:
    """Return in words what a pod waits for."""
    status = pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] != "True":
            return f"not scheduled: {condition.get('message', condition.get('reason', ''))}"
    late = [
        str(container["name"]) for container in container_states(pod) if not container.get("ready")
    ]
    return f"{status.get('phase', 'unknown')}, not ready: {', '.join(late) or 'no container yet'}"


def _explain_pod(kube: Kube, pod: Object, reason: str) -> str:
    """Return why a pod does not come up, with the end of the log of the container at fault."""
    metadata = pod["metadata"]
    name, namespace = str(metadata["name"]), str(metadata["namespace"])
    lines = [f"{namespace}/{name}: {reason}"]
    for container in container_states(pod):
        if container.get("ready") or not container.get("restartCount"):
            continue
        try:
            log = redaction.redact_text(
                kube.read_log(name, namespace, str(container["name"]))
            ).rstrip()
        except NotReady:
            continue
        if log:
            lines += [f"last lines of {container['name']}:", *log.splitlines()[-_LOG_LINES:]]
    return "\n".join(lines)


def _list_warnings(kube: Kube, namespaces: Sequence[str]) -> Iterator[str]:
    """Yield the warnings of the namespaces: where no pod is, they say why."""
    texts: set[str] = set()
    for name in namespaces:
        for event in kube.list("v1", "Event", name):
            text = f"{event['involvedObject']['name']}: {event.get('message', '')}"
            if event.get("type") == "Warning" and text not in texts and len(texts) < 5:
                texts.add(text)
                yield text
