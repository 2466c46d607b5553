"""Makes src/meshproof/documents/shapes/<group>/<Kind>.yaml from the CRDs of Istio and Gateway API.

    python tests/lint/shapes_from_crds.py

Both are read from the Go module cache (`go mod download istio.io/istio@VERSION` and
`sigs.k8s.io/gateway-api@VERSION` fill it). documents/schema.py explains the notation. The tables
below hold what the CRDs do not say, and the keys of earlier versions.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests import ROOT

SHAPES = ROOT / "src" / "meshproof" / "documents" / "shapes"
CRDS = {
    "istio.io/istio": "manifests/charts/base/files/crd-all.gen.yaml",
    "sigs.k8s.io/gateway-api": "config/crd/experimental/*.yaml",  # has all of the standard channel
}
KINDS = {
    "networking.istio.io": (
        "VirtualService",
        "DestinationRule",
        "Gateway",
        "ServiceEntry",
        "Sidecar",
        "WorkloadEntry",
        "WorkloadGroup",
    ),
    "security.istio.io": ("PeerAuthentication", "AuthorizationPolicy", "RequestAuthentication"),
    "gateway.networking.k8s.io": ("HTTPRoute", "GRPCRoute", "Gateway", "ReferenceGrant"),
}
#: What Istio's validation demands beyond its CRDs: (kind or "" for any, key) -> leaf.
TIGHTER = {
    ("", "number"): "integer 1..65535",
    ("", "port"): "integer 1..65535",
    ("", "targetPort"): "integer 1..65535",
    ("", "httpStatus"): "integer 200..599",
    ("", "statusCode"): "integer 300..399",
    ("", "redirectCode"): "integer 300..399",
    ("VirtualService", "status"): "integer 200..599",
    ("", "percent"): "integer 0..100",
    ("", "attempts"): "integer 0..",
    ("", "weight"): "integer",  # a negative one is a finding of its own
    ("", "idleTimeout"): "duration or 0s",
    ("", "ttl"): "duration or 0s",
    ("", "budgetInterval"): "duration or 0s",
    ("Gateway", "protocol"): "protocol",
    ("ServiceEntry", "protocol"): "protocol",
    ("Sidecar", "protocol"): "protocol",
}
PERCENTAGES = ("percentage", "mirrorPercentage")
#: Keys that Istio's validation demands: (kind, key of the mapping) -> keys.
REQUIRED = {
    ("Gateway", "spec"): ["servers"],
    ("Gateway", "servers"): ["port", "hosts"],
    ("Gateway", "port"): ["number", "protocol", "name"],
}
#: Keys of which one at most may be there, as Istio's validation says.
EXCLUSIVE = {
    ("VirtualService", "http"): [
        ["delegate", "directResponse", "redirect", "route"],
        ["fault", "redirect"],
        ["redirect", "rewrite"],
        ["directResponse", "fault"],
        ["directResponse", "rewrite"],
        ["mirror", "mirrors"],
    ],
    ("VirtualService", "redirect"): [["prefixRewrite", "uri"]],
    ("ServiceEntry", "spec"): [["endpoints", "workloadSelector"]],
    ("HTTPRoute", "path"): [["replaceFullPath", "replacePrefixMatch"]],
}
#: Lists that may be absent but, when they are there, not empty.
FILLED = {
    ("VirtualService", "spec"): ["hosts", "http", "tcp", "tls"],
    ("VirtualService", "http"): ["route"],
    ("VirtualService", "tcp"): ["route"],
    ("VirtualService", "tls"): ["route", "match"],
    ("Gateway", "spec"): ["servers"],
    ("Gateway", "servers"): ["hosts"],
    ("HTTPRoute", "spec"): ["rules"],
    ("GRPCRoute", "spec"): ["rules"],
}
#: Words of earlier APIs for what has another name here; without one it says what is done instead.
OLD = {
    ("VirtualService", "spec"): {"precedence": "the order of the http list"},
    ("VirtualService", "http"): {
        "httpReqTimeout": "timeout",
        "httpReqRetries": "retries",
        "httpFault": "fault",
        "appendHeaders": "headers.request.add",
        "appendRequestHeaders": "headers.request.add",
        "removeRequestHeaders": "headers.request.remove",
        "appendResponseHeaders": "headers.response.add",
        "removeResponseHeaders": "headers.response.remove",
        "websocketUpgrade": "nothing: upgrades always pass",
    },
    ("VirtualService", "route"): {"labels": "destination.subset", "tags": "destination.subset"},
    ("VirtualService", "match"): {
        "request": "headers, without request above it",
        "httpHeaders": "headers",
    },
    ("VirtualService", "destination"): {"name": "host", "service": "host"},
    ("HTTPRoute", "spec"): {"gateways": "parentRefs"},
    ("HTTPRoute", "rules"): {"forwardTo": "backendRefs"},
    ("HTTPRoute", "backendRefs"): {"serviceName": "name"},
}
#: Versions that earlier CRDs served.
GONE = {"gateway.networking.k8s.io": ["v1alpha2"]}


def build_shape(schema: dict[str, Any], kind: str, key: str = "") -> Any:
    """Return an OpenAPI schema in our notation."""
    leaf = TIGHTER.get((kind, key)) or TIGHTER.get(("", key))
    if schema.get("type") in ("integer", "number") and leaf:
        return leaf
    if schema.get("type") == "string":
        is_special = leaf in ("protocol", "duration or 0s") and "pattern" not in schema
        return leaf if is_special else _build_text(schema)
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or text"
    if schema.get("type") in ("integer", "number"):
        return _build_number(schema)
    if schema.get("type") == "boolean":
        return "boolean"
    if schema.get("type") == "array":
        return [build_shape(schema["items"], kind, key)]
    if "additionalProperties" in schema:
        return {"$each": build_shape(schema["additionalProperties"], kind)}
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        return _build_mapping(schema, kind, key)
    return "any"


def _build_text(schema: dict[str, Any]) -> str:
    rules = json.dumps(schema.get("x-kubernetes-validations", [])) + schema.get("pattern", "")
    if "duration(self)" in rules:
        return "duration"
    if "(h|m|s|ms)" in rules:
        return "duration or 0s"
    choices = [word for word in schema.get("enum", []) if word]
    return f"one of {' '.join(choices)}" if choices else "text"


def _build_number(schema: dict[str, Any]) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    most = None if most is not None and most >= 2**32 - 1 else most
    if least is None and most is None:
        return str(schema["type"])
    low, high = ("" if limit is None else f"{limit:g}" for limit in (least, most))
    return f"{schema['type']} {low}..{high}"


def _build_mapping(schema: dict[str, Any], kind: str, key: str) -> dict[str, Any]:
    keys = schema["properties"]
    notation: dict[str, Any] = {
        "$required": {*schema.get("required", [])}
        | {name for name in REQUIRED.get((kind, key), []) if name in keys},
        "$filled": {*(name for name in keys if keys[name].get("minItems"))}
        | {name for name in FILLED.get((kind, key), []) if name in keys},
        "$exclusive": [
            group
            for group in _find_exclusive_keys(schema) + EXCLUSIVE.get((kind, key), [])
            if set(group) <= set(keys)
        ],
        "$old": OLD.get((kind, "destination" if {"host", "subset"} <= set(keys) else key)),
    }
    notation = {
        name: sorted(keys_of_group) if name != "$old" else keys_of_group
        for name, keys_of_group in notation.items()
        if keys_of_group
    }
    for name, child in sorted(keys.items()):
        notation[name] = build_shape(child, kind, name)
    if key in PERCENTAGES:
        notation["value"] = "number 0..100"
    return notation


def _find_exclusive_keys(schema: dict[str, Any]) -> list[list[str]]:
    """Return the groups of keys of which only one may be there (a oneOf of `required`)."""
    groups = [
        sorted(branch["required"][0] for branch in part.get("oneOf", []) if "required" in branch)
        for part in [schema, *schema.get("allOf", [])]
    ]
    return [group for group in groups if len(group) > 1]


def build_text(kind: str, group: str, versions: list[dict[str, Any]], source: str) -> str:
    """Return the file of one kind."""
    served = sorted(
        (version["name"] for version in versions if version["served"]), key=_rank_version
    )
    removed = {version["name"] for version in versions if not version["served"]} | {
        *GONE.get(group, [])
    }
    schema = next(version for version in versions if version["name"] == served[0])["schema"][
        "openAPIV3Schema"
    ]
    spec = build_shape(schema["properties"]["spec"], kind, "spec")
    needed = "spec" in schema.get("required", []) or not spec.keys().isdisjoint(
        ("$required", "$filled")
    )
    lines = [
        f"# {kind} of {group}, from the CRD (Apache-2.0) in",
        f"# {source}",
        "# Made by tests/lint/shapes_from_crds.py; documents/schema.py explains the notation.",
        f"versions: [{', '.join(served)}]",
        *([f"gone: [{', '.join(sorted(removed, key=_rank_version))}]"] if removed else []),
        f"needs_spec: {json.dumps(needed)}",
        "spec:",
    ]
    return "\n".join([*lines, *Writer(spec).lines(spec, 1)]) + "\n"


def _rank_version(version: str) -> tuple[int, str]:
    """Sort v1 before v1beta1 before v1alpha3."""
    return ("alpha" in version) * 2 + ("beta" in version), version


class Writer:
    """Writes a shape as YAML in which what stands twice is an anchor and its aliases."""

    def __init__(self, notation: Any) -> None:
        self.counts: dict[str, int] = {}
        self.anchors: dict[str, str] = {}
        self._count(notation)

    def _count(self, part: Any) -> None:
        if isinstance(part, list):
            self._count(part[0])
        elif isinstance(part, dict):
            content = json.dumps(part)
            self.counts[content] = self.counts.get(content, 0) + 1
            if self.counts[content] == 1:
                for name, child in part.items():
                    if not name.startswith("$") or name == "$each":
                        self._count(child)

    def lines(self, mapping: dict[str, Any], depth: int) -> Iterator[str]:
        """Yield the lines of a mapping's entries."""
        pad = "  " * depth
        for name, child in mapping.items():
            if name == "$old":
                yield f"{pad}$old:"
                yield from (f"{pad}  {old}: '{new}'" for old, new in child.items())
            elif name.startswith("$") and name != "$each":
                yield f"{pad}{name}: {json.dumps(child).replace(chr(34), '')}"
            elif isinstance(child, list):
                yield from self._list(name, child[0], depth)
            else:
                yield from self._value(f"{pad}{name}:", name, child, depth)

    def _list(self, name: str, element: Any, depth: int) -> Iterator[str]:
        pad = "  " * depth
        first, *other_lines = self._value("", name, element, depth)
        if not other_lines:
            yield f"{pad}{name}: [{first.strip()}]"
            return
        yield f"{pad}{name}:"
        if first.strip():
            yield f"{pad}- {first.strip()}"
        else:
            yield f"{pad}- {other_lines.pop(0).strip()}"
        yield from other_lines

    def _value(self, head: str, name: str, child: Any, depth: int) -> Iterator[str]:
        content = json.dumps(child)
        if isinstance(child, str):
            yield f"{head} {child}"
        elif content in self.anchors:
            yield f"{head} *{self.anchors[content]}"
        elif set(child) == {"$each"} and isinstance(child["$each"], str):
            yield f"{head} {{$each: {child['$each']}}}"
        else:
            yield f"{head}{self._anchor(name, child, content)}"
            yield from self.lines(child, depth + 1)

    def _anchor(self, name: str, child: dict[str, Any], content: str) -> str:
        if self.counts[content] == 1:
            return ""
        label = "stringMatch" if {"exact", "prefix"} <= set(child) else name.strip("$")
        label_count = sum(anchor.rstrip("23456789") == label for anchor in self.anchors.values())
        self.anchors[content] = f"{label}{label_count + 1}" if label_count else label
        return f" &{self.anchors[content]}"


def find_modules(newest: bool = False) -> dict[str, Path]:
    """Return the copy of each module in the Go module cache that the files were made from.

    With `newest` it is the newest copy there is. A module without one is absent.
    """
    cache = os.environ.get("GOMODCACHE") or str(Path.home() / "go" / "pkg" / "mod")
    folders = {}
    for name in CRDS:
        parent, _, last = name.rpartition("/")
        copies = [
            folder for folder in sorted(Path(cache, parent).glob(f"{last}@*")) if folder.is_dir()
        ]
        pinned_versions = {
            source.partition("@")[2] for source in read_sources() if source.startswith(f"{name}@")
        }
        copies = [
            folder
            for folder in copies
            if newest or folder.name.partition("@")[2] in pinned_versions
        ]
        if copies:
            folders[name] = copies[-1]
    return folders


def read_sources() -> set[str]:
    """Return module@version of every module that the files were made from, as their heads say."""
    heads = [file.read_text().splitlines()[1] for file in SHAPES.glob("*/*.yaml")]
    return {head.removeprefix("# ") for head in heads if "@" in head}


def build_files(newest: bool = False) -> dict[Path, str]:
    """Return path and text of every shape file that can be made from the module cache."""
    texts = {}
    for name, folder in find_modules(newest).items():
        for file in sorted(folder.glob(CRDS[name])):
            source = f"{name}@{folder.name.partition('@')[2]}"
            for crd in yaml.load_all(file.read_text(), Loader=yaml.CSafeLoader):
                if not crd or crd.get("kind") != "CustomResourceDefinition":
                    continue
                group, kind = crd["spec"]["group"], crd["spec"]["names"]["kind"]
                if kind in KINDS.get(group, ()):
                    texts[SHAPES / group / f"{kind}.yaml"] = build_text(
                        kind, group, crd["spec"]["versions"], source
                    )
    return texts


if __name__ == "__main__":
    for path, content in build_files(newest=True).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
