"""The shape of every kind: which keys it has, which it needs, and what stands in each.

The shapes are data: `shapes/<group>/<Kind>.yaml` (the core group's folder is `core`). A file says
which versions are served (the newest first), which are gone, and the shape of `spec` in the form
of the object itself. A leaf is `text`, `integer`, `number` (either with a range, `integer 0..100`),
`boolean`, `duration`, `duration or 0s`, `protocol`, `name` (of an object), `integer or text`,
`one of A B`, `metadata` or `any`; `[leaf]` is a list. A mapping may say more about itself:

    $each        any key is allowed; the shape of every value
    $required    keys that must be there
    $filled      lists that must not be empty
    $exclusive   groups of keys of which one at most may be there
    $old         keys of earlier versions -> today's key (as a path from here), or what to do
    $text        a bare text is allowed too and stands for this key
    $old-text    a bare text stood here once: for the first key, or with dots for the second

What stands in a folder is known; a kind is added by adding its file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

ShapeType = Literal[
    "any",
    "boolean",
    "duration",
    "duration or 0s",
    "integer",
    "integer or text",
    "list",
    "mapping",
    "name",
    "number",
    "protocol",
    "text",
    "word",
]

_FOLDER = Path(__file__).parent / "shapes"
_RANGE = re.compile(r"(integer|number)(?: (-?\d*)\.\.(\d*))?")
#: Longer than any key or kind there is; what is longer has no nearest word (and takes long).
_LONGEST_WORD = 80
_PLAIN_LEAVES: dict[str, ShapeType] = {
    "any": "any",
    "boolean": "boolean",
    "duration": "duration",
    "duration or 0s": "duration or 0s",
    "integer or text": "integer or text",
    "name": "name",
    "protocol": "protocol",
    "text": "text",
}

#: Kinds that were served by another group once: (old group, kind) -> group of today.
MOVED_KINDS = {
    ("extensions", "Deployment"): "apps",
    ("extensions", "DaemonSet"): "apps",
    ("extensions", "ReplicaSet"): "apps",
    ("extensions", "Ingress"): "networking.k8s.io",
    ("extensions", "NetworkPolicy"): "networking.k8s.io",
}


@dataclass(frozen=True, eq=False)
class Shape:
    """What may stand at a place. `each` is the shape of a list's items or of every value."""

    type: ShapeType
    keys: dict[str, Shape] = field(default_factory=dict)
    element: Shape | None = None
    required_keys: tuple[str, ...] = ()
    nonempty_lists: tuple[str, ...] = ()
    exclusive_keys: tuple[tuple[str, ...], ...] = ()
    old_keys: dict[str, str] = field(default_factory=dict)
    text_key: str = ""
    old_text_keys: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    @property
    def description(self) -> str:
        """The type in words, as a message says it."""
        return {
            "any": "anything",
            "boolean": "true or false",
            "duration": "a duration such as 5s",
            "duration or 0s": "a duration such as 5s",
            "integer": "a whole number",
            "integer or text": "a whole number or text",
            "list": "a list",
            "mapping": "a mapping",
            "number": "a number",
        }.get(self.type, "text")

    @property
    def is_container(self) -> bool:
        """True for a mapping or a list."""
        return self.type in ("mapping", "list")

    @property
    def mapping_shape(self) -> Shape:
        """The shape of the mapping here, or of the mappings in the list here."""
        return self.element.mapping_shape if self.type == "list" and self.element else self

    def can_hold(self, content: object) -> bool:
        """Say whether a value of this kind (mapping, list, scalar) can stand here at all."""
        if self.is_container:
            return isinstance(content, dict if self.type == "mapping" else list)
        return self.type == "any" or not isinstance(content, (dict, list))


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of object: its versions (served, the newest first; gone) and its shape."""

    group: str
    name: str
    served_versions: tuple[str, ...]
    removed_versions: tuple[str, ...]
    root: Shape

    @property
    def api_version(self) -> str:
        """The newest apiVersion that is served."""
        return f"{self.group}/{self.served_versions[0]}".lstrip("/")

    @property
    def is_rule(self) -> bool:
        """True for what a mesh reads, false for Kubernetes' own kinds."""
        return self.group.endswith("istio.io") or self.group.startswith("gateway.")


@cache
def list_shaped_kinds() -> dict[str, tuple[str, ...]]:
    """Return the kinds that have a shape, by group (the core group is an empty text)."""
    found: dict[str, tuple[str, ...]] = {}
    for folder in sorted(path for path in _FOLDER.iterdir() if path.is_dir()):
        name = "" if folder.name == "core" else folder.name
        found[name] = tuple(sorted(file.stem for file in folder.glob("*.yaml")))
    return found


@dataclass(frozen=True)
class UnshapedKinds:
    """The kinds of a group that are known and have no shape: versions served and gone, names."""

    served_versions: tuple[str, ...] = ()
    removed_versions: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    is_mesh: bool = False


@cache
def _load_unshaped_kinds() -> dict[str, UnshapedKinds]:
    return {
        "" if group == "core" else group: UnshapedKinds(
            tuple(one["versions"]),
            tuple(one.get("gone", ())),
            tuple(one["kinds"]),
            group.endswith("istio.io") or group.startswith("gateway."),
        )
        for group, one in _read_yaml(_FOLDER / "others.yaml").items()
    }


def find_unshaped_kinds(group: str) -> UnshapedKinds:
    """Return the kinds of a group that are known and have no shape."""
    return _load_unshaped_kinds().get(group, UnshapedKinds())


def list_groups() -> tuple[str, ...]:
    """Return every group that is known."""
    return tuple(sorted({*list_shaped_kinds(), *_load_unshaped_kinds()}))


def list_kinds(group: str) -> tuple[str, ...]:
    """Return every kind of a group that is known."""
    return (*list_shaped_kinds().get(group, ()), *find_unshaped_kinds(group).names)


@cache
def load_kind(group: str, name: str) -> Kind | None:
    """Return a kind that has a shape, or None. A kind that moved is found under its old group."""
    home = MOVED_KINDS.get((group, name), group)
    if name not in list_shaped_kinds().get(home, ()):
        return None
    content = _read_yaml(_FOLDER / (home or "core") / f"{name}.yaml")
    root = Shape(
        "mapping",
        keys={
            "apiVersion": Shape("text"),
            "kind": Shape("text"),
            "metadata": replace(load_metadata_shape(), required_keys=("name",)),
            "spec": _build_shape(content["spec"], {}),
            "status": Shape("any"),
        },
        required_keys=("metadata", "spec") if content["needs_spec"] else ("metadata",),
    )
    return Kind(home, name, tuple(content["versions"]), tuple(content.get("gone", ())), root)


@cache
def load_metadata_shape() -> Shape:
    """Return the shape of every object's metadata."""
    return _build_shape(_read_yaml(_FOLDER / "metadata.yaml"), {})


def _read_yaml(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return content


def _build_shape(content: Any, seen: dict[int, Shape]) -> Shape:
    """Turn a file's notation into a shape; what an alias repeats is turned once."""
    if isinstance(content, str):
        return _build_leaf(content)
    if id(content) not in seen:
        if isinstance(content, list):
            seen[id(content)] = Shape("list", element=_build_shape(content[0], seen))
        else:
            seen[id(content)] = _build_mapping(content, seen)
    return seen[id(content)]


@cache
def _build_leaf(content: str) -> Shape:
    if content in _PLAIN_LEAVES:
        return Shape(_PLAIN_LEAVES[content])
    if content == "metadata":
        return load_metadata_shape()
    if content.startswith("one of "):
        return Shape("word", choices=tuple(content.removeprefix("one of ").split()))
    matched = _RANGE.fullmatch(content)
    if matched is None:
        raise ValueError(f"'{content}' is no leaf of a shape")
    least, most = (float(one) if one else None for one in matched.groups()[1:])
    return Shape("integer" if matched[1] == "integer" else "number", minimum=least, maximum=most)


def _build_mapping(content: dict[str, Any], seen: dict[int, Shape]) -> Shape:
    each = content.get("$each")
    return Shape(
        "mapping",
        keys={key: _build_shape(one, seen) for key, one in content.items() if key[0] != "$"},
        element=None if each is None else _build_shape(each, seen),
        required_keys=tuple(content.get("$required", ())),
        nonempty_lists=tuple(content.get("$filled", ())),
        exclusive_keys=tuple(map(tuple, content.get("$exclusive", ()))),
        old_keys=content.get("$old", {}),
        text_key=content.get("$text", ""),
        old_text_keys=tuple(content.get("$old-text", ())),
    )


def find_closest_word(word: str, valid: Iterable[str], least: float = 0.6) -> str:
    """Return the valid word most like `word` (upper or lower case is one), or an empty text."""
    import difflib

    if len(word) > _LONGEST_WORD:
        return ""
    folded = {one.lower(): one for one in valid}
    found = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=least)
    return folded[found[0]] if found else ""
