"""Builds what all converted objects have: apiVersion, kind and merged metadata."""

from __future__ import annotations

from collections.abc import Iterable

from meshproof.convert.nodes import Node, copy_value, make_scalar
from meshproof.convert.notes import Notes
from meshproof.documents.manifest import Document, Value
from meshproof.rules.judge_options import ANNOTATION_PREFIX

API_VERSION = "networking.istio.io/v1"
#: Annotation in which kubectl keeps the applied object; a new object must not have it.
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def has_explicit_namespace(document: Document) -> bool:
    """Say whether an object has a namespace; others go where they are applied."""
    return document.metadata.get("namespace") is not None


def build_metadata(name: str, namespace: str, has_namespace: bool) -> Node:
    """Return the metadata of an object; `default` is written only if the source wrote it."""
    entries = {"name": make_scalar(name)}
    if has_namespace or namespace != "default":
        entries["namespace"] = make_scalar(namespace)
    return Node(entries)


def complete_object(root: Node, kind: str, metadata_node: Node, spec: Node) -> Node:
    """Give the object `root` the keys that every object has; its comments and origins stay."""
    root.content = {
        "apiVersion": make_scalar(API_VERSION),
        "kind": make_scalar(kind),
        "metadata": metadata_node,
        "spec": spec,
    }
    return root


def merge_metadata(documents: Iterable[Document], key: str) -> tuple[Node | None, list[Value]]:
    """Return the merged labels or annotations of objects that become one, and the conflicts.

    Options of the judge are left out: see `merge_judge_options`.
    """
    entries: dict[str, Node] = {}
    origins: list[Value] = []
    conflicts: list[Value] = []
    for document in documents:
        mapping_value = document.metadata.get(key)
        if mapping_value is None:
            continue
        origins.append(mapping_value)
        for name, value in mapping_value.mapping().items():
            if name == LAST_APPLIED or name.startswith(ANNOTATION_PREFIX):
                continue
            first = entries.setdefault(name, copy_value(value))
            if first.content != value.content:
                conflicts.append(value)
    return (Node(dict(entries), tuple(origins)) if entries else None), conflicts


def merge_judge_options(documents: Iterable[Document], metadata_node: Node, notes: Notes) -> None:
    """Give an object the judge options that all its legacy rules have in common.

    Another option would also apply to routes of rules that do not set it.
    """
    options = [_read_judge_options(document) for document in documents]
    content = metadata_node.content if isinstance(metadata_node.content, dict) else {}
    annotations = content.get("annotations") or Node({})
    for key in dict.fromkeys(key for document_options in options for key in document_options):
        values = [document_options[key] for document_options in options if key in document_options]
        if len(values) == len(options) and len({value.text() for value in values}) == 1:
            annotations.put(key, copy_value(values[0]))
            continue
        for value in values:
            notes.add_unconverted(
                value, "not every rule that becomes the same object sets it alike", metadata_node
            )
    metadata_node.put("annotations", annotations if annotations.content else None)


def _read_judge_options(document: Document) -> dict[str, Value]:
    """Return the annotations that are options of the judge."""
    annotations = document.metadata.get("annotations")
    return (
        {
            key: value
            for key, value in annotations.mapping().items()
            if key.startswith(ANNOTATION_PREFIX)
        }
        if annotations
        else {}
    )
