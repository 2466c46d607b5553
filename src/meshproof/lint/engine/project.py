"""What checks read: all documents, and the Services, workloads and subsets among them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from meshproof.base.errors import BadRules
from meshproof.base.names import CLUSTER_DOMAIN, Labels, qualify_host, sort_labels
from meshproof.documents.manifest import At, Document, Value
from meshproof.lint.engine.defect import Defect, DefectKind
from meshproof.lint.engine.finding import Hit
from meshproof.lint.shapes.walk import check_document

T = TypeVar("T")
_WORKLOAD_KINDS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod")


@dataclass(frozen=True)
class ServicePort:
    """A port of a Service. `name` and `app_protocol` are empty if not set.

    `value` is the port in the file.
    """

    number: int
    name: str
    app_protocol: str
    value: Value


@dataclass(frozen=True)
class ServiceObject:
    """A Service among the documents."""

    document: Document
    ports: tuple[ServicePort, ...]
    selector: Labels

    @property
    def host(self) -> str:
        """Full name in the cluster."""
        return f"{self.document.name}.{self.document.namespace}.{CLUSTER_DOMAIN}"


@dataclass(frozen=True)
class Workload:
    """A workload among the documents, with the labels of its pods."""

    document: Document
    pod_labels: Labels

    def is_selected_by(self, selector: Labels) -> bool:
        """Say whether the pods have every label of `selector`."""
        return set(selector) <= set(self.pod_labels)


@dataclass(frozen=True)
class SubsetEntry:
    """A subset of a DestinationRule: full host, name, labels, and where it stands."""

    host: str
    name: str
    labels: Labels
    value: Value
    document: Document


class Project:
    """All documents that are linted together. `unreadable` are hits for files without a document.

    The properties leave out what cannot be read; it has a finding of its own. A check that
    compares with Services or workloads should be silent if the documents have none at all: the
    files may be one part of many.
    """

    def __init__(self, documents: Iterable[Document], unreadable: Iterable[Hit] = ()) -> None:
        self.unreadable = tuple(unreadable)
        examined = [check_document(document) for document in documents]
        #: The documents as they were meant: what is misspelt stands here under its right name.
        self.documents = [document for document, _ in examined]
        self._defects_by_document = {id(document): defects for document, defects in examined}
        self._defects_by_kind: dict[DefectKind, list[Defect]] = {}
        for _, defects in examined:
            for defect in defects:
                self._defects_by_kind.setdefault(defect.kind, []).append(defect)
        self._named_documents: dict[tuple[tuple[str, ...], str | None], list[Document]] = {}

    def find_defects(self, kind: DefectKind, document: Document | None = None) -> list[Defect]:
        """Return the defects of one kind, of all documents or of one."""
        defects = self._defects_by_kind.get(kind, [])
        if document is None or not defects:
            return defects
        return [defect for defect in self._defects_by_document[id(document)] if defect.kind is kind]

    def lacks_keys(self, document: Document, mapping: Value, *keys: str) -> bool:
        """Say whether a mapping has none of these keys, and nothing that may stand for one.

        False if a key has no value or an unknown key could not be identified: both have findings.
        """
        content = mapping.content
        if not isinstance(content, dict) or any(key in content for key in keys):
            return False
        paths = {f"{mapping.path}.{key}" for key in keys}
        empty_keys = self.find_defects(DefectKind.NO_VALUE, document) + self.find_defects(
            DefectKind.EMPTY_LIST, document
        )
        unknown_keys = self.find_defects(DefectKind.UNKNOWN_KEY, document)
        return not any(defect.path in paths for defect in empty_keys) and not any(
            defect.path == mapping.path and not defect.expected for defect in unknown_keys
        )

    def has_defects(self, document: Document) -> bool:
        """Say whether the form of a document has any defect."""
        return bool(self._defects_by_document[id(document)])

    def has_defect_at(self, document: Document, path: str) -> bool:
        """Say whether the value at a path has a defect."""
        return any(defect.path == path for defect in self._defects_by_document[id(document)])

    def documents_of_kind(self, *kinds: str) -> list[Document]:
        """Return all documents of these kinds, in order, even without a name."""
        positioned = [pair for kind in kinds for pair in self._documents_by_kind.get(kind, ())]
        return [
            document
            for _, document in (
                positioned if len(kinds) == 1 else sorted(positioned, key=_position)
            )
        ]

    def named_documents(self, *kinds: str, group: str | None = None) -> list[Document]:
        """Return the documents of these kinds (and of an API group) that have a name, in order."""
        cache_key = kinds, group
        if cache_key not in self._named_documents:
            documents = (
                document
                for document in self.documents_of_kind(*kinds)
                if id(document) in self._named_document_ids
            )
            self._named_documents[cache_key] = [
                document for document in documents if group in (None, read_api_group(document))
            ]
        return self._named_documents[cache_key]

    @cached_property
    def _documents_by_kind(self) -> dict[str, list[tuple[int, Document]]]:
        """The documents by kind, each with its position."""
        by_kind: dict[str, list[tuple[int, Document]]] = {}
        for position, document in enumerate(self.documents):
            by_kind.setdefault(read_kind(document), []).append((position, document))
        return by_kind

    @cached_property
    def _named_document_ids(self) -> set[int]:
        """The ids of the documents whose name and namespace can be read."""
        return {id(document) for document in self.documents if _has_readable_name(document)}

    @cached_property
    def services(self) -> list[ServiceObject]:
        """Every Service that can be read."""
        return [
            service
            for document in self.named_documents("Service")
            for service in _read_if_possible(_read_service, document)
        ]

    @cached_property
    def workloads(self) -> list[Workload]:
        """Every workload that can be read."""
        return [
            workload
            for document in self.named_documents(*_WORKLOAD_KINDS)
            for workload in _read_if_possible(_read_workload, document)
        ]

    @cached_property
    def subsets(self) -> list[SubsetEntry]:
        """Every subset of every DestinationRule that can be read."""
        rules = self.named_documents("DestinationRule")
        return [
            subset
            for document in rules
            for subset in _read_all_if_possible(_read_subsets, document)
        ]


def read_kind(document: Document) -> str:
    """Return a document's kind, or an empty text."""
    return read_text(document.root.mapping().get("kind"))


def _position(positioned: tuple[int, Document]) -> int:
    """Return the position of a document, to sort by."""
    return positioned[0]


def _has_readable_name(document: Document) -> bool:
    """Say whether name and namespace of a document can be read."""
    try:
        _ = document.name, document.namespace
    except BadRules:
        return False
    return True


def _read_if_possible(read: Callable[[Document], T], document: Document) -> Iterator[T]:
    """Yield what `read` returns for a document, nothing if it raises BadRules."""
    with contextlib.suppress(BadRules):
        yield read(document)


def _read_all_if_possible(
    read: Callable[[Document], Iterator[T]], document: Document
) -> Iterator[T]:
    """Yield what `read` yields for a document until it raises BadRules."""
    with contextlib.suppress(BadRules):
        yield from read(document)


def find_values(parent: Value | None, *path: str) -> list[Value]:
    """Return the values at a path below `parent`, going into every list on the way.

    `find_values(spec, "http", "route", "destination")` returns all destinations. Values of another
    shape are left out: they have a finding of their own.
    """
    if parent is None:
        return []
    values = [parent]
    for key in path:
        parents, values = values, []
        for value in parents:
            content = value.content
            if content.__class__ is dict and key in content:  # quicker than isinstance
                child = content[key]
                child_content = child.content
                if child_content.__class__ is list:
                    values = [*values, *child_content] if values else child_content[:]
                else:
                    values.append(child)
        if not values:
            return values
    return values


def find_unclear_paths(project: Project, document: Document) -> tuple[str, ...]:
    """Return the paths in a document whose intended content is unclear."""
    if not project.has_defects(document):
        return ()
    paths = [
        f"{defect.path}."
        for defect in project.find_defects(DefectKind.UNKNOWN_KEY, document)
        if not defect.expected
    ]
    for kind in (DefectKind.NO_VALUE, DefectKind.WRONG_TYPE, DefectKind.EXCLUSIVE_KEYS):
        paths += [f"{defect.path}." for defect in project.find_defects(kind, document)]
    return tuple(paths)


def is_unclear(path: str, unclear_paths: tuple[str, ...]) -> bool:
    """Say whether something at or below a path is unclear."""
    return any(unclear_path.startswith((f"{path}.", f"{path}[")) for unclear_path in unclear_paths)


def read_spec(document: Document) -> Value | None:
    """Return a document's spec, or None."""
    content = document.root.content
    spec = content.get("spec") if isinstance(content, dict) else None
    return spec if spec is not None and isinstance(spec.content, dict) else None


def read_api_group(document: Document) -> str:
    """Return the API group of a document, or an empty text."""
    return read_text(document.root.mapping().get("apiVersion")).rpartition("/")[0]


def locate_spec(document: Document) -> At:
    """Return where a document's spec stands (its key), or where the document begins."""
    return document.root.keys.get("spec", document.at)


def read_text(value: Value | None) -> str:
    """Return the value if it is text, else an empty string."""
    return value.content if value is not None and isinstance(value.content, str) else ""


def _read_service(document: Document) -> ServiceObject:
    """Return a Service with its ports. Raises BadRules if it cannot be read."""
    ports = []
    for port in document.spec.need("ports").items():
        name, protocol = port.get("name"), port.get("appProtocol")
        number = port.need("port").integer(1, 65535)
        ports.append(ServicePort(number, read_text(name), read_text(protocol), port))
    selector = document.spec.get("selector")
    return ServiceObject(
        document, tuple(ports), sort_labels(selector.text_mapping()) if selector else ()
    )


def _read_workload(document: Document) -> Workload:
    """Return a workload with its pod labels. Raises BadRules if it cannot be read."""
    template = document.root if read_kind(document) == "Pod" else document.spec.need("template")
    pod_labels = template.need("metadata").get("labels")
    return Workload(document, sort_labels(pod_labels.text_mapping()) if pod_labels else ())


def _read_subsets(document: Document) -> Iterator[SubsetEntry]:
    """Yield the subsets of a DestinationRule. Raises BadRules if it cannot be read."""
    host = qualify_host(document.spec.need("host").text(), document.namespace)
    for entry in find_values(document.spec, "subsets"):
        subset_labels = entry.get("labels")
        yield SubsetEntry(
            host,
            entry.need("name").text(),
            sort_labels(subset_labels.text_mapping()) if subset_labels else (),
            entry,
            document,
        )
