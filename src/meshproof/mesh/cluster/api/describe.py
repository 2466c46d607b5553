"""Describes a pod as `kubectl describe` does: what each container does, and its events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from meshproof.mesh.cluster.api.client import Object


def describe_pod(pod: Object, events: Sequence[Object] = ()) -> str:
    """Return the description of a pod; `events` are those of its namespace."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    lines = [
        f"pod {metadata['namespace']}/{metadata['name']}",
        f"node {pod['spec'].get('nodeName', 'none')}, phase {status.get('phase', 'unknown')}",
    ]
    if status.get("message") or status.get("reason"):
        lines.append(f"{status.get('reason', '')}: {status.get('message', '')}")
    for condition in status.get("conditions") or ():
        lines.append(
            f"condition {condition['type']}: {condition['status']}{_format_reason(condition)}"
        )
    specs = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
    states = {state["name"]: state for state in container_states(pod)}
    for spec in specs:
        lines += _describe_container(spec, states.get(spec["name"], {}))
    pod_events = [
        event for event in events if event["involvedObject"].get("uid") == metadata.get("uid")
    ]
    lines += [
        f"events: {len(pod_events)}",
        *(f"  {_describe_event(event)}" for event in pod_events),
    ]
    return "\n".join(lines) + "\n"


def container_states(pod: Object) -> Iterable[Object]:
    """Return the states of a pod's containers, init containers first."""
    status = pod.get("status") or {}
    return [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]


def _describe_container(spec: Object, state: Object) -> Iterator[str]:
    """Yield the lines on one container: its image, its state, how it is started."""
    yield f"container {spec['name']}: image {spec.get('image', '')}"
    yield f"  ready {state.get('ready', False)}, restarts {state.get('restartCount', 0)}"
    for key in ("state", "lastState"):
        for name, details in (state.get(key) or {}).items():
            yield f"  {key} {name}: {json.dumps(details, sort_keys=True)}"
    for key in ("command", "args", "env", "envFrom", "ports", "resources", "readinessProbe"):
        if spec.get(key):
            yield f"  {key} {json.dumps(spec[key], sort_keys=True)}"
    for mount in spec.get("volumeMounts") or ():
        yield f"  mount {mount['mountPath']} of {mount['name']}"


def _describe_event(event: Object) -> str:
    """Return one event as a line."""
    timestamp = event.get("lastTimestamp") or event.get("eventTime") or "at some time"
    count = f" ({event['count']} times)" if event.get("count", 1) > 1 else ""
    return (
        f"{timestamp} {event.get('type', '')} {event.get('reason', '')}{count}: "
        f"{event.get('message', '')}"
    )


def _format_reason(condition: Object) -> str:
    """Return a condition's reason and message in brackets; empty without either."""
    reason = " ".join(filter(None, (condition.get("reason"), condition.get("message"))))
    return f" ({reason})" if reason else ""
