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
from meshproof.documents.schema import Kind, find_closest_word
from meshproof.lint.engine.defect import Defect, DefectKind

#: Istio 0.1 said `type: route-rule` where there is an apiVersion and a kind today.
_KIND_OF_TYPE = {
    "route-rule": "RouteRule",
    "destination-policy": "DestinationPolicy",
    "ingress-rule": "RouteRule",
}
_LEGACY_GROUP = "config.istio.io"
_HEADER_KEYS = ("apiVersion", "kind")
_OBJECT_KEYS = {*_HEADER_KEYS, "metadata", "spec"}


@dataclass
class Identity:
    """A document's root, put right; its kind where that has a shape; what was wrong."""

    root: Value
    kind: Kind | None = None
    defects: list[Defect] = field(default_factory=list)

    def add_defect(
        self, sort: DefectKind, key: str, written: str, meant: str = "", how: str = ""
    ) -> None:
        """Note a defect of the value under `key`, or of the document where there is none."""
        found = self.root.mapping().get(key)
        at = found.at if found is not None else self.root.at
        self.defects.append(Defect(sort, at, key, written, meant, how))

    def set_text(self, key: str, text: str) -> None:
        """Write `text` under `key`, in the place of what stands there."""
        content = dict(self.root.mapping())
        found = content.get(key)
        content[key] = Value(found.at if found is not None else self.root.at, key, text)
        self.root = replace(self.root, content=content)

    def get_text(self, key: str) -> str:
        """Return the text under `key`, empty where there is none."""
        found = self.root.mapping().get(key)
        return found.content if found is not None and isinstance(found.content, str) else ""


def identify_document(root: Value) -> Identity:
    """Return what the document with this root is."""
    found = Identity(root)
    found.kind = _find_exact_kind(root)
    if found.kind is not None:
        return found
    _repair_istio_0_1(found)
    if _is_no_object(found):
        return found
    for key in _HEADER_KEYS:
        _repair_spelling(found, key)
    if not (found.get_text("apiVersion") and found.get_text("kind")) and not _guess_kind(found):
        return found
    _look_up_kind(found)
    return found


def _find_exact_kind(root: Value) -> Kind | None:
    """Return the kind of a document that says it rightly, in its newest version."""
    content = root.mapping()
    version, name = content.get("apiVersion"), content.get("kind")
    if version is None or name is None or not isinstance(name.content, str):
        return None
    group = version.content.rpartition("/")[0] if isinstance(version.content, str) else ""
    kind = schema.load_kind(group, name.content)
    return kind if kind is not None and kind.api_version == version.content else None


def _repair_spelling(found: Identity, key: str) -> None:
    """Put a key of the root right that is written in another case, or nearly."""
    content = found.root.mapping()
    if key in content:
        return
    others = [one for one in content if one not in ("status", *_OBJECT_KEYS)]
    written = find_closest_word(key, others, 0.75)
    if not written:
        return
    same = written.lower() == key.lower()
    at = found.root.keys[written]
    sort = DefectKind.WRONG_CASE if same else DefectKind.UNKNOWN_KEY
    found.defects.append(Defect(sort, at, "", written, key, key))
    names = {one: key if one == written else one for one in content}
    found.root = replace(
        found.root,
        content={names[one]: value for one, value in content.items()},
        keys={names[one]: place for one, place in found.root.keys.items()},
    )


def _repair_istio_0_1(found: Identity) -> None:
    """Put right what Istio 0.1 wrote: `type: route-rule` and the name beside it."""
    kind = _KIND_OF_TYPE.get(found.get_text("type"), "")
    content = found.root.mapping()
    if not kind or "kind" in content:
        return
    at, keys = content["type"].at, dict(found.root.keys)
    how = f"apiVersion: {_LEGACY_GROUP}/v1alpha2 and kind: {kind}, with the name under metadata"
    found.defects.append(
        Defect(DefectKind.OLD_SPELLING, keys["type"], "", "type", "apiVersion and kind", how)
    )
    moved = {key: one for key, one in content.items() if key in ("name", "namespace", "labels")}
    left = {key: one for key, one in content.items() if key not in ("type", *moved)}
    if moved and "metadata" not in left:
        places = {key: keys[key] for key in moved}
        left["metadata"] = Value(at, "metadata", moved, places)
    found.root = replace(found.root, content=left)
    found.set_text("apiVersion", f"{_LEGACY_GROUP}/v1alpha2")
    found.set_text("kind", kind)


def _is_no_object(found: Identity) -> bool:
    """Say whether this is no Kubernetes object at all: values of Helm, a kustomization, ..."""
    if not _OBJECT_KEYS.isdisjoint(found.root.mapping()):
        return False
    if PurePath(found.root.at.file).stem != "kustomization":
        found.add_defect(DefectKind.NOT_CHECKED, "", "this is no Kubernetes object")
    return True


def _guess_kind(found: Identity) -> bool:
    """Fill in a missing apiVersion or kind from what is there; say whether that worked."""
    said = {key: found.get_text(key) for key in _HEADER_KEYS}
    for key in _HEADER_KEYS:
        value = found.root.mapping().get(key)
        if value is not None and value.content is not None and not said[key]:
            found.add_defect(DefectKind.WRONG_TYPE, key, repr(value.content), "text")
            return False
    missing = [key for key in _HEADER_KEYS if not said[key]]
    group = said["apiVersion"].rpartition("/")[0] if said["apiVersion"] else None
    kind = _find_best_kind(found.root, group, said["kind"])
    how = ""
    if kind is not None:
        words = {"apiVersion": said["apiVersion"] or kind.api_version, "kind": kind.name}
        how = " and ".join(f"{key}: {words[key]}" for key in missing)
        how += ", and then meshproof convert" if kind.group == _LEGACY_GROUP else ""
        for key in missing:
            found.set_text(key, words[key])
    meant = kind.name if kind is not None else ""
    found.defects.append(
        Defect(DefectKind.NO_TYPE, found.root.at, "", " and ".join(missing), meant, how)
    )
    return kind is not None


def _find_best_kind(root: Value, group: str | None, name: str) -> Kind | None:
    """Return the kind that a spec looks like: the only one whose keys fit best."""
    spec = root.mapping().get("spec")
    written = set(spec.content) if spec is not None and isinstance(spec.content, dict) else set()
    scores: list[tuple[int, Kind]] = []
    for kind in _load_kinds():
        shape = kind.root.keys["spec"]
        if name not in ("", kind.name) or group not in (None, kind.group):
            continue
        valid = set(shape.keys) | set(shape.old_keys)
        if name or (written & valid and set(shape.required_keys) <= written):
            scores.append((len(written & valid) - len(written - valid), kind))
    if not scores:
        return None
    top = max(score for score, _ in scores)
    best = [kind for score, kind in scores if score == top]
    return best[0] if len(best) == 1 else None


@cache
def _load_kinds() -> tuple[Kind, ...]:
    return tuple(
        kind
        for group, names in schema.list_shaped_kinds().items()
        for name in names
        if (kind := schema.load_kind(group, name)) is not None
    )


def _look_up_kind(found: Identity) -> None:
    """Find the kind's shape by apiVersion and kind, and put right what is nearly right."""
    api_version, name = found.get_text("apiVersion"), found.get_text("kind")
    group, _, version = api_version.rpartition("/")
    kind = schema.load_kind(group, name)
    if kind is not None:
        found.kind = kind
        _check_version(found, kind, group, version)
    elif name in schema.find_unshaped_kinds(group).names:
        _check_unshaped_kind(found, group, name, version)
    elif _find_groups(name):
        _check_wrong_group(found, group, name)
    elif group in schema.list_groups():
        _check_unknown_kind(found, group, name)
    else:
        _check_unknown_group(found, group, name)


def _check_version(found: Identity, kind: Kind, group: str, version: str) -> None:
    if group != kind.group or version in kind.removed_versions:
        found.add_defect(
            DefectKind.GONE_VERSION,
            "apiVersion",
            found.get_text("apiVersion"),
            kind.api_version,
            kind.name,
        )
    elif version not in kind.served_versions:
        nearest = find_closest_word(version, kind.served_versions, 0.8) or kind.served_versions[0]
        meant = f"{kind.group}/{nearest}".lstrip("/")
        found.add_defect(
            DefectKind.UNKNOWN_VERSION, "apiVersion", found.get_text("apiVersion"), meant, kind.name
        )
        found.set_text("apiVersion", meant)
    elif version != kind.served_versions[0]:
        found.add_defect(
            DefectKind.OLDER_VERSION,
            "apiVersion",
            found.get_text("apiVersion"),
            kind.api_version,
            kind.name,
        )


def _check_unshaped_kind(found: Identity, group: str, name: str, version: str) -> None:
    """Judge the version of a kind that is known and has no shape."""
    other = schema.find_unshaped_kinds(group)
    meant = _find_newest_version(schema.MOVED_KINDS.get((group, name), group))
    if version in other.removed_versions:
        found.add_defect(
            DefectKind.GONE_VERSION, "apiVersion", found.get_text("apiVersion"), meant, name
        )
    elif version not in other.served_versions:
        found.add_defect(
            DefectKind.UNKNOWN_VERSION, "apiVersion", found.get_text("apiVersion"), meant, name
        )
    elif other.is_mesh:
        found.add_defect(DefectKind.NOT_CHECKED, "kind", f"{name} is not read by meshproof")


def _find_newest_version(group: str) -> str:
    """Return the newest apiVersion of a group's kinds without a shape, empty where all are gone."""
    version = next(iter(schema.find_unshaped_kinds(group).served_versions), "")
    return f"{group}/{version}".lstrip("/") if version else ""


@cache
def _find_groups(name: str) -> tuple[str, ...]:
    """Return the groups that have a kind of this name."""
    return tuple(group for group in schema.list_groups() if name in schema.list_kinds(group))


def _check_wrong_group(found: Identity, group: str, name: str) -> None:
    """Judge a kind that stands under another group than its own."""
    written = found.get_text("apiVersion")
    homes = _find_groups(name)
    near = find_closest_word(group, homes, 0.75) if group else ""
    if not near and group and group not in schema.list_groups() and "istio" not in group:
        found.add_defect(
            DefectKind.NOT_CHECKED, "kind", f"{name} of {written} is not known to meshproof"
        )
        return
    kinds = {home: schema.load_kind(home, name) for home in homes}
    best = _find_best_kind(found.root, None, name)
    kind = kinds[near] if near else (best or kinds[homes[0]])
    if kind is None:
        meant = _find_newest_version(near or homes[0])
        found.add_defect(DefectKind.UNKNOWN_VERSION, "apiVersion", written, meant, name)
        return
    if kind.group != _LEGACY_GROUP:  # a removed kind is one finding, whatever group is written
        found.add_defect(DefectKind.UNKNOWN_VERSION, "apiVersion", written, kind.api_version, name)
    found.set_text("apiVersion", kind.api_version)
    found.kind = kind


def _check_unknown_kind(found: Identity, group: str, name: str) -> None:
    """Judge a kind that its group does not have."""
    meant = find_closest_word(name, schema.list_kinds(group))
    at_home = schema.load_kind(group, meant) if meant else None
    found.add_defect(DefectKind.UNKNOWN_KIND, "kind", name, meant, found.get_text("apiVersion"))
    if at_home is not None:
        found.set_text("kind", meant)
        found.kind = at_home


def _check_unknown_group(found: Identity, group: str, name: str) -> None:
    """Judge a group that is not known: misspelt, or of something else."""
    written = found.get_text("apiVersion")
    near = find_closest_word(group, schema.list_groups(), 0.8) if group else ""
    kind = (
        schema.load_kind(near, find_closest_word(name, schema.list_kinds(near), 0.8))
        if near
        else None
    )
    if kind is None:
        found.add_defect(
            DefectKind.NOT_CHECKED, "kind", f"{name} of {written} is not known to meshproof"
        )
        return
    found.add_defect(DefectKind.UNKNOWN_VERSION, "apiVersion", written, kind.api_version, kind.name)
    found.set_text("apiVersion", kind.api_version)
    if kind.name != name:
        found.add_defect(DefectKind.UNKNOWN_KIND, "kind", name, kind.name, kind.api_version)
        found.set_text("kind", kind.name)
    found.kind = kind
