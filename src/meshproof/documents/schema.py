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

Type = Literal[
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
_PLAIN: dict[str, Type] = {
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
MOVED = {
    ("extensions", "Deployment"): "apps",
    ("extensions", "DaemonSet"): "apps",
    ("extensions", "ReplicaSet"): "apps",
    ("extensions", "Ingress"): "networking.k8s.io",
    ("extensions", "NetworkPolicy"): "networking.k8s.io",
}


@dataclass(frozen=True, eq=False)
class Shape:
    """What may stand at a place. `each` is the shape of a list's items or of every value."""

    type: Type
    keys: dict[str, Shape] = field(default_factory=dict)
    each: Shape | None = None
    required: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()
    old: dict[str, str] = field(default_factory=dict)
    text: str = ""
    old_text: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None

    @property
    def name(self) -> str:
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
    def is_composed(self) -> bool:
        """True for a mapping or a list."""
        return self.type in ("mapping", "list")

    @property
    def of_mappings(self) -> Shape:
        """The shape of the mapping here, or of the mappings in the list here."""
        return self.each.of_mappings if self.type == "list" and self.each else self

    def takes(self, content: object) -> bool:
        """Say whether a value of this kind (mapping, list, scalar) can stand here at all."""
        if self.is_composed:
            return isinstance(content, dict if self.type == "mapping" else list)
        return self.type == "any" or not isinstance(content, (dict, list))


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of object: its versions (served, the newest first; gone) and its shape."""

    group: str
    name: str
    versions: tuple[str, ...]
    gone: tuple[str, ...]
    root: Shape

    @property
    def api_version(self) -> str:
        """The newest apiVersion that is served."""
        return f"{self.group}/{self.versions[0]}".lstrip("/")

    @property
    def is_rule(self) -> bool:
        """True for what a mesh reads, false for Kubernetes' own kinds."""
        return self.group.endswith("istio.io") or self.group.startswith("gateway.")


@cache
def groups() -> dict[str, tuple[str, ...]]:
    """Return the kinds that have a shape, by group (the core group is an empty text)."""
    found: dict[str, tuple[str, ...]] = {}
    for folder in sorted(path for path in _FOLDER.iterdir() if path.is_dir()):
        name = "" if folder.name == "core" else folder.name
        found[name] = tuple(sorted(file.stem for file in folder.glob("*.yaml")))
    return found


@dataclass(frozen=True)
class Others:
    """The kinds of a group that are known and have no shape: versions served and gone, names."""

    versions: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    is_mesh: bool = False


@cache
def _others() -> dict[str, Others]:
    return {
        "" if group == "core" else group: Others(
            tuple(one["versions"]),
            tuple(one.get("gone", ())),
            tuple(one["kinds"]),
            group.endswith("istio.io") or group.startswith("gateway."),
        )
        for group, one in _read(_FOLDER / "others.yaml").items()
    }


def others(group: str) -> Others:
    """Return the kinds of a group that are known and have no shape."""
    return _others().get(group, Others())


def all_groups() -> tuple[str, ...]:
    """Return every group that is known."""
    return tuple(sorted({*groups(), *_others()}))


def kinds_of(group: str) -> tuple[str, ...]:
    """Return every kind of a group that is known."""
    return (*groups().get(group, ()), *others(group).kinds)


@cache
def kind(group: str, name: str) -> Kind | None:
    """Return a kind that has a shape, or None. A kind that moved is found under its old group."""
    home = MOVED.get((group, name), group)
    if name not in groups().get(home, ()):
        return None
    content = _read(_FOLDER / (home or "core") / f"{name}.yaml")
    root = Shape(
        "mapping",
        keys={
            "apiVersion": Shape("text"),
            "kind": Shape("text"),
            "metadata": replace(metadata(), required=("name",)),
            "spec": _shape(content["spec"], {}),
            "status": Shape("any"),
        },
        required=("metadata", "spec") if content["needs_spec"] else ("metadata",),
    )
    return Kind(home, name, tuple(content["versions"]), tuple(content.get("gone", ())), root)


@cache
def metadata() -> Shape:
    """Return the shape of every object's metadata."""
    return _shape(_read(_FOLDER / "metadata.yaml"), {})


def _read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return content


def _shape(content: Any, seen: dict[int, Shape]) -> Shape:
    """Turn a file's notation into a shape; what an alias repeats is turned once."""
    if isinstance(content, str):
        return _leaf(content)
    if id(content) not in seen:
        if isinstance(content, list):
            seen[id(content)] = Shape("list", each=_shape(content[0], seen))
        else:
            seen[id(content)] = _mapping(content, seen)
    return seen[id(content)]


@cache
def _leaf(content: str) -> Shape:
    if content in _PLAIN:
        return Shape(_PLAIN[content])
    if content == "metadata":
        return metadata()
    if content.startswith("one of "):
        return Shape("word", words=tuple(content.removeprefix("one of ").split()))
    matched = _RANGE.fullmatch(content)
    if matched is None:
        raise ValueError(f"'{content}' is no leaf of a shape")
    least, most = (float(one) if one else None for one in matched.groups()[1:])
    return Shape("integer" if matched[1] == "integer" else "number", least=least, most=most)


def _mapping(content: dict[str, Any], seen: dict[int, Shape]) -> Shape:
    each = content.get("$each")
    return Shape(
        "mapping",
        keys={key: _shape(one, seen) for key, one in content.items() if key[0] != "$"},
        each=None if each is None else _shape(each, seen),
        required=tuple(content.get("$required", ())),
        filled=tuple(content.get("$filled", ())),
        exclusive=tuple(map(tuple, content.get("$exclusive", ()))),
        old=content.get("$old", {}),
        text=content.get("$text", ""),
        old_text=tuple(content.get("$old-text", ())),
    )


def closest(word: str, valid: Iterable[str], least: float = 0.6) -> str:
    """Return the valid word most like `word` (upper or lower case is one), or an empty text."""
    import difflib

    if len(word) > _LONGEST_WORD:
        return ""
    folded = {one.lower(): one for one in valid}
    found = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=least)
    return folded[found[0]] if found else ""
