"""Which fields of http routing the generated sets prove: those whose loss changed an answer.

The fields are those of Istio's CRDs (`tests/lint/test_schema_crds.py` holds our shapes to them).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import yaml

from meshproof.documents import schema
from tests.differential.generator import GeneratedSet, Spec
from tests.differential.reducing import Path, remove

#: Kinds whose fields decide where http requests go, and the parts of them that do.
_PARTS = {
    "VirtualService": ("exportTo", "gateways", "hosts", "http"),
    "DestinationRule": ("exportTo", "host", "subsets"),
    "Gateway": ("servers",),
}
#: Mappings from names of the user's to conditions or values.
_KEYED = ("headers", "withoutHeaders", "queryParams", "set", "add", "sourceLabels", "labels")
#: Fields that no set has, each with its reason.
LEFT_OUT = {
    "VirtualService.http.match.name": "a name for logs; no answer shows it",
    "VirtualService.http.match.statPrefix": "a name for statistics; no answer shows it",
    "VirtualService.http.name": "a name for logs; no answer shows it",
    "VirtualService.http.corsPolicy.allowOrigin": "deprecated; allowOrigins takes its place",
    "VirtualService.http.mirrorPercent": "deprecated; mirrorPercentage takes its place",
    "VirtualService.http.mirror_percent": "deprecated; mirrorPercentage takes its place",
    "VirtualService.http.fault.delay.percent": "deprecated; percentage takes its place",
    "VirtualService.http.fault.abort.grpcStatus": "the requests are plain HTTP",
    "VirtualService.http.fault.abort.http2Error": "not implemented by Istio",
    "VirtualService.http.fault.delay.exponentialDelay": "not implemented by Istio",
    "VirtualService.http.retries.backoff": "only time shows it",
    "VirtualService.http.retries.retryRemoteLocalities": "the world has one locality",
    "VirtualService.http.retries.retryIgnorePreviousHosts": "its retries go to any replica",
    "Gateway.servers.tls": "the ports are plain HTTP",
    "Gateway.servers.defaultEndpoint": "not implemented by Istio",
    "Gateway.servers.name": "a name for statistics; no answer shows it",
    "Gateway.servers.bind": "the ingress has one address",
    "Gateway.servers.port.targetPort": "deprecated; nothing reads it",
    "Gateway.servers.port.name": "a name; no answer shows it",
    "DestinationRule.subsets.trafficPolicy": "load balancing, not routing",
}
#: At most so many fields of a set are taken away, one after the other.
_TRIALS = 12


def list_fields() -> list[str]:
    """Return the names of all http routing fields: `VirtualService.http.match.uri.prefix`."""
    fields: list[str] = []
    for kind, parts in _PARTS.items():
        shape = schema.SHAPES / "networking.istio.io" / f"{kind}.yaml"
        spec = yaml.safe_load(shape.read_text())["spec"]
        for part in parts:
            fields += _iter_fields(spec[part], f"{kind}.{part}")
    return [field for field in dict.fromkeys(fields) if find_reason(field) is None]


def find_reason(field: str) -> str | None:
    """Return why no set has a field, None if one may have it."""
    reasons = (why for name, why in LEFT_OUT.items() if f"{field}.".startswith(f"{name}."))
    return next(reasons, None)


def _iter_fields(shape: Any, name: str) -> Iterator[str]:
    """Yield the names of the leaves of a shape."""
    if isinstance(shape, list):
        shape = shape[0]
    if not isinstance(shape, dict):
        yield name
        return
    fields = {key: value for key, value in shape.items() if not key.startswith("$")}
    if not fields:
        yield from _iter_fields(shape.get("$each", "text"), name)
    for key, value in fields.items():
        yield from _iter_fields(value, f"{name}.{key}")


def iter_leaves(objects: list[Spec]) -> Iterator[tuple[str, Path]]:
    """Yield name and path of every field of objects that may count."""
    for index, body in enumerate(objects):
        for part in _PARTS.get(body["kind"], ()):
            if part in body["spec"]:
                path: Path = (index, "spec", part)
                yield from _iter_leaves(body["spec"][part], f"{body['kind']}.{part}", path)


def _iter_leaves(node: Any, name: str, path: Path) -> Iterator[tuple[str, Path]]:
    """Yield name and path of the leaves below a node."""
    last = path[-1]
    if isinstance(node, list) and node and isinstance(node[0], dict):
        for index, value in enumerate(node):
            yield from _iter_leaves(value, name, (*path, index))
    elif isinstance(node, dict) and node:
        is_keyed = last in _KEYED and not {"request", "response"} & set(node)
        for key, value in node.items():
            yield from _iter_leaves(value, name if is_keyed else f"{name}.{key}", (*path, key))
    else:
        yield name, path


def take_away(objects: list[Spec], path: Path) -> list[Spec]:
    """Return objects without what is at a path, nor a mapping that would be empty then."""
    smaller = remove(objects, path)
    parent: Any = smaller
    for step in path[:-1]:
        parent = parent[step]
    return take_away(smaller, path[:-1]) if not parent and len(path) > 3 else smaller


@dataclass
class FieldTrials:
    """Takes fields away until each has changed an answer.

    `changes_answer` says whether the answers to a set differ from those to a second one; None if
    the second one is refused.
    """

    changes_answer: Callable[[GeneratedSet, GeneratedSet], bool | None]

    def __post_init__(self) -> None:
        self.proven: dict[str, bool] = dict.fromkeys(list_fields(), False)
        self._tries: Counter[str] = Counter()

    @property
    def unproven(self) -> set[str]:
        """The fields that have changed no answer yet."""
        return {name for name, is_proven in self.proven.items() if not is_proven}

    def try_set(self, generated: GeneratedSet) -> None:
        """Take away some fields of a set that have changed no answer yet."""
        leaves = dict(iter_leaves(list(generated.objects)))
        unproven = [name for name in leaves if name in self.unproven]
        for name in sorted(unproven, key=lambda name: self._tries[name])[:_TRIALS]:
            self._tries[name] += 1
            self.proven[name] = self._try_path(generated, leaves[name])

    def try_all(self, generated: GeneratedSet) -> None:
        """Take away each field of a set that has changed no answer yet, wherever it stands."""
        for name, path in iter_leaves(list(generated.objects)):
            if name in self.unproven:
                self.proven[name] = self._try_path(generated, path)

    def _try_path(self, generated: GeneratedSet, path: Path) -> bool:
        """Say whether the loss of a field, with what cannot be without it, changes an answer."""
        while path:
            objects = tuple(take_away(list(generated.objects), path))
            changed = self.changes_answer(generated, replace(generated, objects=objects))
            if changed is not None:
                return changed
            path = path[: -2 if len(path) == 3 else -1]  # no object is without a spec
        return False

    def describe(self) -> str:
        """Return the table of all fields."""
        count = sum(self.proven.values())
        share = 100 * count / len(self.proven)
        lines = [
            f"fields whose loss changed an answer: {count} of {len(self.proven)} ({share:.0f} %)"
        ]
        lines += [
            f"  {'yes' if is_proven else 'NO '} {name}" for name, is_proven in self.proven.items()
        ]
        lines += ["left out:", *(f"  {name}: {why}" for name, why in LEFT_OUT.items())]
        return "\n".join(lines)
