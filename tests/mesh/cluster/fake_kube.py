"""A stand-in for a cluster: its objects are in a file, without any controller but for deletion.

What belongs to a namespace or to an owner goes with it. It stands in for `client.Kube`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from meshproof.user_rules.live import build_resource_name

Object = dict[str, Any]


class FakeKube:
    """The part of `client.Kube` that installs, records and removes."""

    cluster_name = "context fake"

    def __init__(self, file: Path, *objects: Object) -> None:
        self._file = file
        self._write(list(objects))

    @property
    def objects(self) -> list[Object]:
        bodies: list[Object] = json.loads(self._file.read_text())
        return bodies

    @property
    def names(self) -> set[str]:
        """Every object as `Kind namespace/name`."""
        return {
            f"{body['kind']} {body['metadata'].get('namespace', '')}/{body['metadata']['name']}"
            for body in self.objects
        }

    def _write(self, objects: list[Object]) -> None:
        self._file.write_text(json.dumps(objects))

    def version(self) -> str:
        return "v1.35.4"

    def has_kind(self, api_version: str, kind: str) -> bool:
        """Custom kinds are known by their definitions."""
        if "istio.io/" not in api_version and "gateway." not in api_version:
            return True
        group = api_version.partition("/")[0]
        return any(
            body["kind"] == "CustomResourceDefinition"
            and body["metadata"]["name"] == f"{build_resource_name(kind)}.{group}"
            for body in self.objects
        )

    def has_right(self, verb: str, group: str, resource: str) -> bool:
        return True

    def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        for body in self.objects:
            metadata = body["metadata"]
            same = (body["apiVersion"], body["kind"], metadata["name"]) == (api_version, kind, name)
            if same and metadata.get("namespace", "") == namespace:
                return body
        return None

    def list(
        self, api_version: str, kind: str, namespace: str = "", labels: str = ""
    ) -> list[Object]:
        parts = [part for part in labels.split(",") if part]
        labels_to_match = dict(part.split("=", 1) for part in parts if not part.startswith("!"))
        unwanted = {part[1:] for part in parts if part.startswith("!")}
        return [
            body
            for body in self.objects
            if (body["apiVersion"], body["kind"]) == (api_version, kind)
            and namespace in ("", body["metadata"].get("namespace", ""))
            and labels_to_match.items() <= (body["metadata"].get("labels") or {}).items()
            and not unwanted & {*(body["metadata"].get("labels") or {})}
        ]

    def apply(self, body: Object, at: object = "") -> Object:
        metadata = body["metadata"]
        key = (body["apiVersion"], body["kind"], metadata["name"], metadata.get("namespace", ""))
        other_bodies = [body for body in self.objects if body != self.get(*key)]
        self._write([*other_bodies, body])
        return body

    def delete(self, api_version: str, kind: str, name: str, namespace: str = "") -> None:
        deleted = self.get(api_version, kind, name, namespace)
        if deleted is None:
            return
        self._write(
            [body for body in self.objects if body != deleted and not _goes_with(body, deleted)]
        )


def _goes_with(body: Object, deleted: Object) -> bool:
    metadata, name = body["metadata"], deleted["metadata"]["name"]
    if deleted["kind"] == "Namespace":
        return bool(metadata.get("namespace") == name)
    return any(owner["name"] == name for owner in metadata.get("ownerReferences") or ())
