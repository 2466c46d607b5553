"""Finds out what a document is by apiVersion and kind, even if these are wrong.

A misspelt key or kind is repaired in the value that is passed on, and reported as a defect. So a
document with `apiversion` is checked like any other, and its one defect gives one finding.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import PurePath

from meshproof.documents import schema
from meshproof.documents.form.defect import Defect, DefectKind
from meshproof.documents.manifest import Value
from meshproof.documents.schema import Kind, find_closest_word

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
    """A document's repaired root, its kind if that has a shape, and the defects."""

    root: Value
    kind: Kind | None = None
    defects: list[Defect] = field(default_factory=list)

    def add_defect(
        self, kind: DefectKind, key: str, actual: str, expected: str = "", repair: str = ""
    ) -> None:
        """Add a defect of the value under `key`, or of the document if there is none."""
        value = self.root.mapping().get(key)
        at = value.at if value is not None else self.root.at
        self.defects.append(Defect(kind, at, key, actual, expected, repair))

    def set_text(self, key: str, text: str) -> None:
        """Set `text` under `key`, at the place of the old value."""
        content = dict(self.root.mapping())
        old_value = content.get(key)
        content[key] = Value(*(old_value or self.root).at, key, text)
        self.root = replace(self.root, content=content)

    def get_text(self, key: str) -> str:
        """Return the text under `key`, empty if there is none."""
        value = self.root.mapping().get(key)
        return value.content if value is not None and isinstance(value.content, str) else ""


def identify_document(root: Value) -> Identity:
    """Return the identity of the document with this root."""
    identity = Identity(root)
    identity.kind = _find_exact_kind(root)
    if identity.kind is not None:
        return identity
    _repair_istio_0_1(identity)
    if _is_no_object(identity):
        return identity
    for key in _HEADER_KEYS:
        _repair_spelling(identity, key)
    if not (identity.get_text("apiVersion") and identity.get_text("kind")) and not _guess_kind(
        identity
    ):
        return identity
    _look_up_kind(identity)
    return identity


def _find_exact_kind(root: Value) -> Kind | None:
    """Return the kind of a document whose apiVersion and kind are right and current."""
    content = root.mapping()
    version, name = content.get("apiVersion"), content.get("kind")
    if version is None or name is None or not isinstance(name.content, str):
        return None
    group = version.content.rpartition("/")[0] if isinstance(version.content, str) else ""
    kind = schema.load_kind(group, name.content)
    return kind if kind is not None and kind.api_version == version.content else None


def _repair_spelling(identity: Identity, key: str) -> None:
    """Repair a key of the root that has a typo or the wrong case."""
    content = identity.root.mapping()
    if key in content:
        return
    candidates = [name for name in content if name not in ("status", *_OBJECT_KEYS)]
    misspelt_key = find_closest_word(key, candidates, 0.75)
    if not misspelt_key:
        return
    differs_in_case_only = misspelt_key.lower() == key.lower()
    at = identity.root.keys[misspelt_key]
    kind = DefectKind.WRONG_CASE if differs_in_case_only else DefectKind.UNKNOWN_KEY
    identity.defects.append(Defect(kind, at, "", misspelt_key, key, key))
    right_names = {name: key if name == misspelt_key else name for name in content}
    identity.root = replace(
        identity.root,
        content={right_names[name]: value for name, value in content.items()},
        keys={right_names[name]: key_at for name, key_at in identity.root.keys.items()},
    )


def _repair_istio_0_1(identity: Identity) -> None:
    """Repair the form of Istio 0.1: `type: route-rule` with the name beside it."""
    kind = _KIND_OF_TYPE.get(identity.get_text("type"), "")
    content = identity.root.mapping()
    if not kind or "kind" in content:
        return
    type_at, keys = content["type"].at, dict(identity.root.keys)
    repair = f"apiVersion: {_LEGACY_GROUP}/v1alpha2 and kind: {kind}, with the name under metadata"
    identity.defects.append(
        Defect(DefectKind.OLD_SPELLING, keys["type"], "", "type", "apiVersion and kind", repair)
    )
    metadata_values = {
        key: value for key, value in content.items() if key in ("name", "namespace", "labels")
    }
    remaining = {
        key: value for key, value in content.items() if key not in ("type", *metadata_values)
    }
    if metadata_values and "metadata" not in remaining:
        metadata_keys = {key: keys[key] for key in metadata_values}
        remaining["metadata"] = Value(*type_at, "metadata", metadata_values, metadata_keys)
    identity.root = replace(identity.root, content=remaining)
    identity.set_text("apiVersion", f"{_LEGACY_GROUP}/v1alpha2")
    identity.set_text("kind", kind)


def _is_no_object(identity: Identity) -> bool:
    """Say whether this is no Kubernetes object: Helm values, a kustomization, ..."""
    if not _OBJECT_KEYS.isdisjoint(identity.root.mapping()):
        return False
    if PurePath(identity.root.at.file).stem != "kustomization":
        identity.add_defect(DefectKind.NOT_CHECKED, "", "this is no Kubernetes object")
    return True


def _guess_kind(identity: Identity) -> bool:
    """Fill in a missing apiVersion or kind. Return whether that worked."""
    header = {key: identity.get_text(key) for key in _HEADER_KEYS}
    for key in _HEADER_KEYS:
        value = identity.root.mapping().get(key)
        if value is not None and value.content is not None and not header[key]:
            identity.add_defect(DefectKind.WRONG_TYPE, key, repr(value.content), "text")
            return False
    missing = [key for key in _HEADER_KEYS if not header[key]]
    group = header["apiVersion"].rpartition("/")[0] if header["apiVersion"] else None
    kind = _find_best_kind(identity.root, group, header["kind"])
    repair = ""
    if kind is not None:
        texts = {"apiVersion": header["apiVersion"] or kind.api_version, "kind": kind.name}
        repair = " and ".join(f"{key}: {texts[key]}" for key in missing)
        repair += ", and then meshproof convert" if kind.group == _LEGACY_GROUP else ""
        for key in missing:
            identity.set_text(key, texts[key])
    kind_name = kind.name if kind is not None else ""
    identity.defects.append(
        Defect(DefectKind.NO_TYPE, identity.root.at, "", " and ".join(missing), kind_name, repair)
    )
    return kind is not None


def _find_best_kind(root: Value, group: str | None, name: str) -> Kind | None:
    """Return the kind of object whose keys fit the spec best, None if there is none or a tie.

    Only kinds with `name` are asked (any if it is empty), of `group` (any if it is None).
    """
    spec = root.mapping().get("spec")
    spec_keys = set(spec.content) if spec is not None and isinstance(spec.content, dict) else set()
    scores: list[tuple[int, Kind]] = []
    for kind in _load_kinds():
        shape = kind.root.keys["spec"]
        if name not in ("", kind.name) or group not in (None, kind.group):
            continue
        valid_keys = set(shape.keys) | set(shape.old_keys)
        if name or (spec_keys & valid_keys and set(shape.required_keys) <= spec_keys):
            scores.append((len(spec_keys & valid_keys) - len(spec_keys - valid_keys), kind))
    if not scores:
        return None
    best_score = max(score for score, _ in scores)
    best_kinds = [kind for score, kind in scores if score == best_score]
    return best_kinds[0] if len(best_kinds) == 1 else None


@cache
def _load_kinds() -> tuple[Kind, ...]:
    """Return every kind that has a shape."""
    return tuple(
        kind
        for group, names in schema.list_shaped_kinds().items()
        for name in names
        if (kind := schema.load_kind(group, name)) is not None
    )


def _look_up_kind(identity: Identity) -> None:
    """Look up the kind by apiVersion and kind; repair near misses."""
    api_version, name = identity.get_text("apiVersion"), identity.get_text("kind")
    group, _, version = api_version.rpartition("/")
    kind = schema.load_kind(group, name)
    if kind is not None:
        identity.kind = kind
        _check_version(identity, kind, group, version)
    elif name in schema.find_unshaped_kinds(group).names:
        _check_unshaped_kind(identity, group, name, version)
    elif _find_groups(name):
        _check_wrong_group(identity, group, name)
    elif group in schema.list_groups():
        _check_unknown_kind(identity, group, name)
    else:
        _check_unknown_group(identity, group, name)


def _check_version(identity: Identity, kind: Kind, group: str, version: str) -> None:
    """Add a defect for a removed, unknown or older version of a kind with a shape.

    An unknown version is repaired: `apiVersion` gets the nearest served one.
    """
    if group != kind.group or version in kind.removed_versions:
        identity.add_defect(
            DefectKind.GONE_VERSION,
            "apiVersion",
            identity.get_text("apiVersion"),
            kind.api_version,
            kind.name,
        )
    elif version not in kind.served_versions:
        nearest_version = (
            find_closest_word(version, kind.served_versions, 0.8) or kind.served_versions[0]
        )
        api_version = f"{kind.group}/{nearest_version}".lstrip("/")
        identity.add_defect(
            DefectKind.UNKNOWN_VERSION,
            "apiVersion",
            identity.get_text("apiVersion"),
            api_version,
            kind.name,
        )
        identity.set_text("apiVersion", api_version)
    elif version != kind.served_versions[0]:
        identity.add_defect(
            DefectKind.OLDER_VERSION,
            "apiVersion",
            identity.get_text("apiVersion"),
            kind.api_version,
            kind.name,
        )


def _check_unshaped_kind(identity: Identity, group: str, name: str, version: str) -> None:
    """Add a defect for a removed or unknown version of a known kind without a shape.

    A kind of the mesh in a served version gets one, too: meshproof does not read it.
    """
    unshaped_kinds = schema.find_unshaped_kinds(group)
    newest_version = _find_newest_version(schema.MOVED_KINDS.get((group, name), group), name)
    if version in unshaped_kinds.removed_versions:
        identity.add_defect(
            DefectKind.GONE_VERSION,
            "apiVersion",
            identity.get_text("apiVersion"),
            newest_version,
            name,
        )
    elif version not in unshaped_kinds.list_versions(name):
        identity.add_defect(
            DefectKind.UNKNOWN_VERSION,
            "apiVersion",
            identity.get_text("apiVersion"),
            newest_version,
            name,
        )
    elif unshaped_kinds.is_mesh:
        identity.add_defect(DefectKind.NOT_CHECKED, "kind", f"{name} is not read by meshproof")


def _find_newest_version(group: str, name: str) -> str:
    """Return the newest apiVersion of a kind without a shape, empty if all are removed."""
    version = next(iter(schema.find_unshaped_kinds(group).list_versions(name)), "")
    return f"{group}/{version}".lstrip("/") if version else ""


@cache
def _find_groups(name: str) -> tuple[str, ...]:
    """Return the groups that have a kind with this name."""
    return tuple(group for group in schema.list_groups() if name in schema.list_kinds(group))


def _check_wrong_group(identity: Identity, group: str, name: str) -> None:
    """Report a kind that stands under a group that does not have it."""
    api_version = identity.get_text("apiVersion")
    groups = _find_groups(name)
    nearest_group = find_closest_word(group, groups, 0.75) if group else ""
    if not nearest_group and group and group not in schema.list_groups() and "istio" not in group:
        identity.add_defect(
            DefectKind.NOT_CHECKED, "kind", f"{name} of {api_version} is not known to meshproof"
        )
        return
    kinds = {candidate: schema.load_kind(candidate, name) for candidate in groups}
    best_kind = _find_best_kind(identity.root, None, name)
    kind = kinds[nearest_group] if nearest_group else (best_kind or kinds[groups[0]])
    if kind is None:
        newest_version = _find_newest_version(nearest_group or groups[0], name)
        identity.add_defect(
            DefectKind.UNKNOWN_VERSION, "apiVersion", api_version, newest_version, name
        )
        return
    if kind.group != _LEGACY_GROUP:  # a removed kind is one finding, whatever group is written
        identity.add_defect(
            DefectKind.UNKNOWN_VERSION, "apiVersion", api_version, kind.api_version, name
        )
    identity.set_text("apiVersion", kind.api_version)
    identity.kind = kind


def _check_unknown_kind(identity: Identity, group: str, name: str) -> None:
    """Report a kind that no group has; repair a typo.

    Adapters of Mixer brought kinds of their own: all but near typos of rules were removed with it.
    """
    nearest_name = find_closest_word(name, schema.list_kinds(group))
    if group == _LEGACY_GROUP:
        nearest_name = find_closest_word(name, schema.list_shaped_kinds().get(group, ()), 0.8)
        if not nearest_name:
            return
    kind = schema.load_kind(group, nearest_name) if nearest_name else None
    identity.add_defect(
        DefectKind.UNKNOWN_KIND, "kind", name, nearest_name, identity.get_text("apiVersion")
    )
    if kind is not None:
        identity.set_text("kind", nearest_name)
        identity.kind = kind


def _check_unknown_group(identity: Identity, group: str, name: str) -> None:
    """Report an unknown group; repair a typo."""
    api_version = identity.get_text("apiVersion")
    nearest_group = find_closest_word(group, schema.list_groups(), 0.8) if group else ""
    kind = (
        schema.load_kind(
            nearest_group, find_closest_word(name, schema.list_kinds(nearest_group), 0.8)
        )
        if nearest_group
        else None
    )
    if kind is None:
        identity.add_defect(
            DefectKind.NOT_CHECKED, "kind", f"{name} of {api_version} is not known to meshproof"
        )
        return
    identity.add_defect(
        DefectKind.UNKNOWN_VERSION, "apiVersion", api_version, kind.api_version, kind.name
    )
    identity.set_text("apiVersion", kind.api_version)
    if kind.name != name:
        identity.add_defect(DefectKind.UNKNOWN_KIND, "kind", name, kind.name, kind.api_version)
        identity.set_text("kind", kind.name)
    identity.kind = kind
