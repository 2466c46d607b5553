"""Waits for the Deployments of a run, and explains why one does not start."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from meshproof.base import redaction, timeouts
from meshproof.base.errors import NotReady
from meshproof.base.waiting import wait_for
from meshproof.mesh.cluster.api.client import Kube, Object
from meshproof.mesh.cluster.api.describe import container_states
from meshproof.mesh.cluster.ingress import gateway_api
from meshproof.mesh.cluster.proxies.proxies import has_sidecar
from meshproof.mesh.protocol import Replica

#: Log lines in a message.
_LOG_LINES = 5
#: Reasons of a waiting container that do not pass within a run (Kubernetes docs, "Images" and
#: "Pod Lifecycle"): those of its image, and all.
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

    Skips pods in deletion, and a Gateway's proxies, which inherit its labels.
    """
    pods_with_labels = [
        pod
        for name in namespaces
        for pod in kube.list("v1", "Pod", name, f"{labels},!{gateway_api.NAME_LABEL}")
    ]
    return [pod for pod in pods_with_labels if not pod["metadata"].get("deletionTimestamp")]


def make_replica(pod: Object) -> Replica:
    """Return a pod as suites know it."""
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

    Raises NotReady naming the pod that does not start, the reason, and the end of its log. It
    raises at once for a permanent failure, and soon if the cluster admits no pod at all.
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
    """Wait until all containers of a pod are ready. Raises NotReady with the reason if not."""

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
    """Raise NotReady naming each pod of the run without a sidecar."""
    uninjected = [
        f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        for pod in list_pods(kube, namespaces, labels)
        if not has_sidecar(pod)
    ]
    if uninjected:
        raise NotReady(
            f"no sidecar was injected into {', '.join(uninjected)}: look at the labels of the "
            "namespace (istio-injection, istio.io/rev) and at the sidecar injector of that "
            "revision"
        )


def _is_complete(deployment: Object) -> bool:
    """Say whether a Deployment has all its pods, all available and up to date."""
    status, replicas = deployment.get("status") or {}, deployment["spec"].get("replicas", 1)
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == replicas
        and status.get("availableReplicas", 0) == replicas
        and status.get("replicas", 0) == replicas
    )


def _require_admitted(deployment: Object, name: str, refused_since: dict[str, float]) -> None:
    """Raise NotReady if admission (PodSecurity, a quota, a LimitRange) keeps refusing pods.

    `refused_since` holds the time of the first refusal. Other failures, such as a webhook that does
    not answer, may pass.
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
    """Return the error, with what to do if PodSecurity refuses a sidecar."""
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
    """Yield what a pod waits for, if it is not ready."""
    if not _is_ready(pod):
        yield f"{pod['metadata']['namespace']}/{pod['metadata']['name']}: {_describe_state(pod)}"


def describe_late_pods(kube: Kube, pods: Sequence[Object]) -> list[str]:
    """Return why each unready pod is not ready, with the log's end of restarted containers."""
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
    """Say whether a pod is ready."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(
        condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions
    )


def describe_pull_failure(pod: Object) -> str:
    """Return why an image of a pod cannot be pulled; empty if nothing says so."""
    return _find_permanent_failure(pod, _IMAGE_FAILURES)


def _find_permanent_failure(pod: Object, reasons: Sequence[str] = _PERMANENT_FAILURES) -> str:
    """Return the first failure that does not pass by itself; empty without one."""
    for container in container_states(pod):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in reasons:
            return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    return ""


def _describe_state(pod: Object) -> str:
    """Describe what a pod waits for."""
    status = pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] != "True":
            return f"not scheduled: {condition.get('message', condition.get('reason', ''))}"
    late = [
        str(container["name"]) for container in container_states(pod) if not container.get("ready")
    ]
    return f"{status.get('phase', 'unknown')}, not ready: {', '.join(late) or 'no container yet'}"


def _explain_pod(kube: Kube, pod: Object, reason: str) -> str:
    """Return why a pod does not start, with the log's end of the failed container."""
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
    """Yield up to five warnings of the namespaces: they tell why there is no pod."""
    texts: set[str] = set()
    for name in namespaces:
        for event in kube.list("v1", "Event", name):
            text = f"{event['involvedObject']['name']}: {event.get('message', '')}"
            if event.get("type") == "Warning" and text not in texts and len(texts) < 5:
                texts.add(text)
                yield text
