"""Finds out what a document is, also when it says so wrongly: its apiVersion and kind.

What is misspelt is put right in the value that is handed on, and named as a defect: so a document
with `apiversion` is examined like any other, and its one defect gives one finding.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import PurePath

from meshproof.documents import schema
from meshproof.documents.manifest import Value
from meshproof.documents.schema import Kind, closest
from meshproof.lint.engine.defect import Defect, Sort

#: Istio 0.1 said `type: route-rule` where there is an apiVersion and a kind today.
_TYPES = {
    "route-rule": "RouteRule",
    "destination-policy": "DestinationPolicy",
    "ingress-rule": "RouteRule",
}
_LEGACY = "config.istio.io"
_HEADER = ("apiVersion", "kind")
_OBJECT = {*_HEADER, "metadata", "spec"}


@dataclass
class Identity:
    """A document's root, put right; its kind where that has a shape; what was wrong."""

    root: Value
    kind: Kind | None = None
    defects: list[Defect] = field(default_factory=list)

    def defect(self, sort: Sort, key: str, written: str, meant: str = "", how: str = "") -> None:
        """Note a defect of the value under `key`, or of the document where there is none."""
        found = self.root.mapping().get(key)
        at = found.at if found is not None else self.root.at
        self.defects.append(Defect(sort, at, key, written, meant, how))

    def put(self, key: str, text: str) -> None:
        """Write `text` under `key`, in the place of what stands there."""
        content = dict(self.root.mapping())
        found = content.get(key)
        content[key] = Value(found.at if found is not None else self.root.at, key, text)
        self.root = replace(self.root, content=content)

    def text(self, key: str) -> str:
        """Return the text under `key`, empty where there is none."""
        found = self.root.mapping().get(key)
        return found.content if found is not None and isinstance(found.content, str) else ""


def identify(root: Value) -> Identity:
    """Return what the document with this root is."""
    found = Identity(root)
    found.kind = _as_written(root)
    if found.kind is not None:
        return found
    _first_version(found)
    if _is_foreign(found):
        return found
    for key in _HEADER:
        _respell(found, key)
    if not (found.text("apiVersion") and found.text("kind")) and not _guess(found):
        return found
    _look_up(found)
    return found


def _as_written(root: Value) -> Kind | None:
    """Return the kind of a document that says it rightly, in its newest version."""
    content = root.mapping()
    version, name = content.get("apiVersion"), content.get("kind")
    if version is None or name is None or not isinstance(name.content, str):
        return None
    group = version.content.rpartition("/")[0] if isinstance(version.content, str) else ""
    kind = schema.kind(group, name.content)
    return kind if kind is not None and kind.api_version == version.content else None


def _respell(found: Identity, key: str) -> None:
    """Put a key of the root right that is written in another case, or nearly."""
    content = found.root.mapping()
    if key in content:
        return
    others = [one for one in content if one not in ("status", *_OBJECT)]
    written = closest(key, others, 0.75)
    if not written:
        return
    same = written.lower() == key.lower()
    at = found.root.keys[written]
    sort = Sort.WRONG_CASE if same else Sort.UNKNOWN_KEY
    found.defects.append(Defect(sort, at, "", written, key, key))
    names = {one: key if one == written else one for one in content}
    found.root = replace(
        found.root,
        content={names[one]: value for one, value in content.items()},
        keys={names[one]: place for one, place in found.root.keys.items()},
    )


def _first_version(found: Identity) -> None:
    """Put right what Istio 0.1 wrote: `type: route-rule` and the name beside it."""
    kind = _TYPES.get(found.text("type"), "")
    content = found.root.mapping()
    if not kind or "kind" in content:
        return
    at, keys = content["type"].at, dict(found.root.keys)
    how = f"apiVersion: {_LEGACY}/v1alpha2 and kind: {kind}, with the name under metadata"
    found.defects.append(
        Defect(Sort.OLD_SPELLING, keys["type"], "", "type", "apiVersion and kind", how)
    )
    moved = {key: one for key, one in content.items() if key in ("name", "namespace", "labels")}
    left = {key: one for key, one in content.items() if key not in ("type", *moved)}
    if moved and "metadata" not in left:
        places = {key: keys[key] for key in moved}
        left["metadata"] = Value(at, "metadata", moved, places)
    found.root = replace(found.root, content=left)
    found.put("apiVersion", f"{_LEGACY}/v1alpha2")
    found.put("kind", kind)


def _is_foreign(found: Identity) -> bool:
    """Say whether this is no Kubernetes object at all: values of Helm, a kustomization, ..."""
    if not _OBJECT.isdisjoint(found.root.mapping()):
        return False
    if PurePath(found.root.at.file).stem != "kustomization":
        found.defect(Sort.NOT_CHECKED, "", "this is no Kubernetes object")
    return True


def _guess(found: Identity) -> bool:
    """Fill in a missing apiVersion or kind from what is there; say whether that worked."""
    said = {key: found.text(key) for key in _HEADER}
    for key in _HEADER:
        value = found.root.mapping().get(key)
        if value is not None and value.content is not None and not said[key]:
            found.defect(Sort.WRONG_TYPE, key, repr(value.content), "text")
            return False
    missing = [key for key in _HEADER if not said[key]]
    group = said["apiVersion"].rpartition("/")[0] if said["apiVersion"] else None
    kind = _best(found.root, group, said["kind"])
    how = ""
    if kind is not None:
        words = {"apiVersion": said["apiVersion"] or kind.api_version, "kind": kind.name}
        how = " and ".join(f"{key}: {words[key]}" for key in missing)
        how += ", and then meshproof convert" if kind.group == _LEGACY else ""
        for key in missing:
            found.put(key, words[key])
    meant = kind.name if kind is not None else ""
    found.defects.append(Defect(Sort.NO_TYPE, found.root.at, "", " and ".join(missing), meant, how))
    return kind is not None


def _best(root: Value, group: str | None, name: str) -> Kind | None:
    """Return the kind that a spec looks like: the only one whose keys fit best."""
    spec = root.mapping().get("spec")
    written = set(spec.content) if spec is not None and isinstance(spec.content, dict) else set()
    scores: list[tuple[int, Kind]] = []
    for kind in _kinds():
        shape = kind.root.keys["spec"]
        if name not in ("", kind.name) or group not in (None, kind.group):
            continue
        valid = set(shape.keys) | set(shape.old)
        if name or (written & valid and set(shape.required) <= written):
            scores.append((len(written & valid) - len(written - valid), kind))
    if not scores:
        return None
    top = max(score for score, _ in scores)
    best = [kind for score, kind in scores if score == top]
    return best[0] if len(best) == 1 else None


@cache
def _kinds() -> tuple[Kind, ...]:
    return tuple(
        kind
        for group, names in schema.groups().items()
        for name in names
        if (kind := schema.kind(group, name)) is not None
    )


def _look_up(found: Identity) -> None:
    """Find the kind's shape by apiVersion and kind, and put right what is nearly right."""
    api_version, name = found.text("apiVersion"), found.text("kind")
    group, _, version = api_version.rpartition("/")
    kind = schema.kind(group, name)
    if kind is not None:
        found.kind = kind
        _version(found, kind, group, version)
    elif name in schema.others(group).kinds:
        _other(found, group, name, version)
    elif _homes(name):
        _strayed(found, group, name)
    elif group in schema.all_groups():
        _misspelt(found, group, name)
    else:
        _foreign(found, group, name)


def _version(found: Identity, kind: Kind, group: str, version: str) -> None:
    if group != kind.group or version in kind.gone:
        found.defect(
            Sort.GONE_VERSION, "apiVersion", found.text("apiVersion"), kind.api_version, kind.name
        )
    elif version not in kind.versions:
        nearest = closest(version, kind.versions, 0.8) or kind.versions[0]
        meant = f"{kind.group}/{nearest}".lstrip("/")
        found.defect(Sort.UNKNOWN_VERSION, "apiVersion", found.text("apiVersion"), meant, kind.name)
        found.put("apiVersion", meant)
    elif version != kind.versions[0]:
        found.defect(
            Sort.OLDER_VERSION, "apiVersion", found.text("apiVersion"), kind.api_version, kind.name
        )


def _other(found: Identity, group: str, name: str, version: str) -> None:
    """Judge the version of a kind that is known and has no shape."""
    other = schema.others(group)
    meant = _newest(schema.MOVED.get((group, name), group))
    if version in other.gone:
        found.defect(Sort.GONE_VERSION, "apiVersion", found.text("apiVersion"), meant, name)
    elif version not in other.versions:
        found.defect(Sort.UNKNOWN_VERSION, "apiVersion", found.text("apiVersion"), meant, name)
    elif other.is_mesh:
        found.defect(Sort.NOT_CHECKED, "kind", f"{name} is not read by meshproof")


def _newest(group: str) -> str:
    """Return the newest apiVersion of a group's kinds without a shape, empty where all are gone."""
    version = next(iter(schema.others(group).versions), "")
    return f"{group}/{version}".lstrip("/") if version else ""


@cache
def _homes(name: str) -> tuple[str, ...]:
    """Return the groups that have a kind of this name."""
    return tuple(group for group in schema.all_groups() if name in schema.kinds_of(group))


def _strayed(found: Identity, group: str, name: str) -> None:
    """Judge a kind that stands under another group than its own."""
    written = found.text("apiVersion")
    homes = _homes(name)
    near = closest(group, homes, 0.75) if group else ""
    if not near and group and group not in schema.all_groups() and "istio" not in group:
        found.defect(Sort.NOT_CHECKED, "kind", f"{name} of {written} is not known to meshproof")
        return
    kinds = {home: schema.kind(home, name) for home in homes}
    best = _best(found.root, None, name)
    kind = kinds[near] if near else (best or kinds[homes[0]])
    if kind is None:
        meant = _newest(near or homes[0])
        found.defect(Sort.UNKNOWN_VERSION, "apiVersion", written, meant, name)
        return
    if kind.group != _LEGACY:  # a removed kind is one finding, whatever group is written
        found.defect(Sort.UNKNOWN_VERSION, "apiVersion", written, kind.api_version, name)
    found.put("apiVersion", kind.api_version)
    found.kind = kind


def _misspelt(found: Identity, group: str, name: str) -> None:
    """Judge a kind that its group does not have."""
    meant = closest(name, schema.kinds_of(group))
    at_home = schema.kind(group, meant) if meant else None
    found.defect(Sort.UNKNOWN_KIND, "kind", name, meant, found.text("apiVersion"))
    if at_home is not None:
        found.put("kind", meant)
        found.kind = at_home


def _foreign(found: Identity, group: str, name: str) -> None:
    """Judge a group that is not known: misspelt, or of something else."""
    written = found.text("apiVersion")
    near = closest(group, schema.all_groups(), 0.8) if group else ""
    kind = schema.kind(near, closest(name, schema.kinds_of(near), 0.8)) if near else None
    if kind is None:
        found.defect(Sort.NOT_CHECKED, "kind", f"{name} of {written} is not known to meshproof")
        return
    found.defect(Sort.UNKNOWN_VERSION, "apiVersion", written, kind.api_version, kind.name)
    found.put("apiVersion", kind.api_version)
    if kind.name != name:
        found.defect(Sort.UNKNOWN_KIND, "kind", name, kind.name, kind.api_version)
        found.put("kind", kind.name)
    found.kind = kind
