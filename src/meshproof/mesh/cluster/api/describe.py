"""A pod in words, as `kubectl describe` has it: what each container does, and its events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from meshproof.mesh.cluster.api.client import Object


def describe_pod(found: Object, events: Sequence[Object] = ()) -> str:
    """Return a pod in words; `events` are those of its namespace."""
    metadata, status = found["metadata"], found.get("status") or {}
    lines = [
        f"pod {metadata['namespace']}/{metadata['name']}",
        f"node {found['spec'].get('nodeName', 'none')}, phase {status.get('phase', 'unknown')}",
    ]
    if status.get("message") or status.get("reason"):
        lines.append(f"{status.get('reason', '')}: {status.get('message', '')}")
    for one in status.get("conditions") or ():
        lines.append(f"condition {one['type']}: {one['status']}{_format_reason(one)}")
    specs = [*(found["spec"].get("initContainers") or ()), *found["spec"]["containers"]]
    states = {one["name"]: one for one in container_states(found)}
    for spec in specs:
        lines += _describe_container(spec, states.get(spec["name"], {}))
    mine = [one for one in events if one["involvedObject"].get("uid") == metadata.get("uid")]
    lines += [f"events: {len(mine)}", *(f"  {_describe_event(one)}" for one in mine)]
    return "\n".join(lines) + "\n"


def container_states(found: Object) -> Iterable[Object]:
    """Return the states of a pod's containers, of those that initialise it first."""
    status = found.get("status") or {}
    return [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]


def _describe_container(spec: Object, state: Object) -> Iterator[str]:
    yield f"container {spec['name']}: image {spec.get('image', '')}"
    yield f"  ready {state.get('ready', False)}, restarts {state.get('restartCount', 0)}"
    for key in ("state", "lastState"):
        for name, more in (state.get(key) or {}).items():
            yield f"  {key} {name}: {json.dumps(more, sort_keys=True)}"
    for key in ("command", "args", "env", "envFrom", "ports", "resources", "readinessProbe"):
        if spec.get(key):
            yield f"  {key} {json.dumps(spec[key], sort_keys=True)}"
    for mount in spec.get("volumeMounts") or ():
        yield f"  mount {mount['mountPath']} of {mount['name']}"


def _describe_event(one: Object) -> str:
    at = one.get("lastTimestamp") or one.get("eventTime") or "at some time"
    count = f" ({one['count']} times)" if one.get("count", 1) > 1 else ""
    return f"{at} {one.get('type', '')} {one.get('reason', '')}{count}: {one.get('message', '')}"


def _format_reason(condition: Object) -> str:
    words = " ".join(filter(None, (condition.get("reason"), condition.get("message"))))
    return f" ({words})" if words else ""
