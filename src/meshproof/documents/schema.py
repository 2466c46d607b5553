"""The shape of every kind: its keys, which are required, and what each holds.

The shapes are data: `shapes/<group>/<Kind>.yaml` (the folder of the core group is `core`). A file
lists the served versions (the newest first), the removed ones, and the shape of `spec` in the form
of the object itself. A leaf is `text`, `integer`, `number` (either with a range, `integer 0..100`),
`boolean`, `duration`, `duration or 0s`, `protocol`, `name` (of an object), `integer or text`,
`one of A B`, `metadata` or `any`; `[leaf]` is a list. A mapping may say more about itself:

    $each        any key is allowed; the shape of every value
    $required    keys that must be present
    $filled      lists that must not be empty
    $exclusive   groups of keys of which at most one may be present
    $old         keys of earlier versions -> today's key (as a path from here), or what to do
    $text        a bare text is allowed, too, and stands for this key
    $old-text    a bare text was allowed once: for the first key, or with dots for the second

To add a kind, add its file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from meshproof.documents import durations

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

#: The folder of the shapes.
SHAPES = Path(__file__).parent / "shapes"
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
    """What a place may hold. `element` is the shape of a list's items or of every value."""

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
        """The type in words, as messages show it."""
        return {
            "any": "anything",
            "boolean": "true or false",
            "duration": durations.EXAMPLES,
            "duration or 0s": durations.EXAMPLES,
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
        """The shape itself, or that of the mappings in the list."""
        return self.element.mapping_shape if self.type == "list" and self.element else self

    def can_hold(self, content: object) -> bool:
        """Say whether content of this type (mapping, list, scalar) can stand here at all."""
        if self.is_container:
            return isinstance(content, dict if self.type == "mapping" else list)
        return self.type == "any" or not isinstance(content, (dict, list))


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of object: its served versions (the newest first), removed ones, and its shape."""

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
    names_by_group: dict[str, tuple[str, ...]] = {}
    for folder in sorted(path for path in SHAPES.iterdir() if path.is_dir()):
        group = "" if folder.name == "core" else folder.name
        names_by_group[group] = tuple(sorted(file.stem for file in folder.glob("*.yaml")))
    return names_by_group


@dataclass(frozen=True)
class UnshapedKinds:
    """The known kinds of a group that have no shape, with the versions of all of them.

    `own_versions` has the served versions of kinds that have fewer.
    """

    served_versions: tuple[str, ...] = ()
    removed_versions: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    is_mesh: bool = False
    own_versions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def list_versions(self, name: str) -> tuple[str, ...]:
        """Return the served versions of a kind."""
        return self.own_versions.get(name, self.served_versions)


@cache
def _load_unshaped_kinds() -> dict[str, UnshapedKinds]:
    """Return the known kinds without a shape, by group."""
    return {
        "" if group == "core" else group: UnshapedKinds(
            tuple(entry["versions"]),
            tuple(entry.get("gone", ())),
            tuple(entry["kinds"]),
            group.endswith("istio.io") or group.startswith("gateway."),
            {kind: tuple(names) for kind, names in entry.get("versions_of", {}).items()},
        )
        for group, entry in _read_yaml(SHAPES / "others.yaml").items()
    }


def find_unshaped_kinds(group: str) -> UnshapedKinds:
    """Return the known kinds of a group that have no shape."""
    return _load_unshaped_kinds().get(group, UnshapedKinds())


def list_groups() -> tuple[str, ...]:
    """Return every known group."""
    return tuple(sorted({*list_shaped_kinds(), *_load_unshaped_kinds()}))


def list_kinds(group: str) -> tuple[str, ...]:
    """Return every known kind of a group."""
    return (*list_shaped_kinds().get(group, ()), *find_unshaped_kinds(group).names)


@cache
def load_kind(group: str, name: str) -> Kind | None:
    """Return a kind that has a shape, or None. A moved kind is found under its old group, too."""
    served_group = MOVED_KINDS.get((group, name), group)
    if name not in list_shaped_kinds().get(served_group, ()):
        return None
    content = _read_yaml(SHAPES / (served_group or "core") / f"{name}.yaml")
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
    return Kind(
        served_group, name, tuple(content["versions"]), tuple(content.get("gone", ())), root
    )


@cache
def load_metadata_shape() -> Shape:
    """Return the shape of every object's metadata."""
    return _build_shape(_read_yaml(SHAPES / "metadata.yaml"), {})


def _read_yaml(file: Path) -> dict[str, Any]:
    """Return the content of a shape file."""
    content: dict[str, Any] = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return content


def _build_shape(notation: Any, built_shapes: dict[int, Shape]) -> Shape:
    """Turn the notation of a file into a shape. What an alias repeats is built once."""
    if isinstance(notation, str):
        return _build_leaf(notation)
    if id(notation) not in built_shapes:
        if isinstance(notation, list):
            built_shapes[id(notation)] = Shape(
                "list", element=_build_shape(notation[0], built_shapes)
            )
        else:
            built_shapes[id(notation)] = _build_mapping(notation, built_shapes)
    return built_shapes[id(notation)]


@cache
def _build_leaf(notation: str) -> Shape:
    """Turn the notation of a leaf into a shape. Raises ValueError if it is none."""
    if notation in _PLAIN_LEAVES:
        return Shape(_PLAIN_LEAVES[notation])
    if notation == "metadata":
        return load_metadata_shape()
    if notation.startswith("one of "):
        return Shape("word", choices=tuple(notation.removeprefix("one of ").split()))
    matched = _RANGE.fullmatch(notation)
    if matched is None:
        raise ValueError(f"'{notation}' is no leaf of a shape")
    minimum, maximum = (float(limit) if limit else None for limit in matched.groups()[1:])
    return Shape(
        "integer" if matched[1] == "integer" else "number", minimum=minimum, maximum=maximum
    )


def _build_mapping(notation: dict[str, Any], built_shapes: dict[int, Shape]) -> Shape:
    """Turn the notation of a mapping into a shape."""
    element = notation.get("$each")
    return Shape(
        "mapping",
        keys={
            key: _build_shape(child, built_shapes)
            for key, child in notation.items()
            if key[0] != "$"
        },
        element=None if element is None else _build_shape(element, built_shapes),
        required_keys=tuple(notation.get("$required", ())),
        nonempty_lists=tuple(notation.get("$filled", ())),
        exclusive_keys=tuple(map(tuple, notation.get("$exclusive", ()))),
        old_keys=notation.get("$old", {}),
        text_key=notation.get("$text", ""),
        old_text_keys=tuple(notation.get("$old-text", ())),
    )


def find_closest_word(word: str, valid_words: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the valid word closest to `word` in either case, or an empty text."""
    import difflib

    if len(word) > _LONGEST_WORD:
        return ""
    folded = {valid_word.lower(): valid_word for valid_word in valid_words}
    matches = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=cutoff)
    return folded[matches[0]] if matches else ""
