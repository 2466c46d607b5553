"""What checks read: all documents, their defects, and the inventory among them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from meshproof.base.errors import BadRules
from meshproof.documents.form.defect import Defect, DefectKind
from meshproof.documents.form.walk import check_document
from meshproof.documents.lookup import read_api_group, read_kind
from meshproof.documents.manifest import Document, Value
from meshproof.documents.sources import Template, Unreadable
from meshproof.inventory import Inventory
from meshproof.lint.engine.finding import Hit, build_unchecked_hit


class Project:
    """All documents that are linted together. `unreadable` are files without a document.

    What cannot be read has a finding of its own. A check that compares with Services or workloads
    should be silent if the documents have none at all: the files may be one part of many.
    """

    def __init__(
        self,
        documents: Iterable[Document],
        unreadable: Iterable[Unreadable] = (),
        templates: Iterable[Template] = (),
    ) -> None:
        examined, uncheckable = _examine(documents)
        unreadable_hits = (Hit(part.at, part.message, part.suggestion) for part in unreadable)
        self.unreadable = (*unreadable_hits, *uncheckable)
        self.templates = tuple(templates)
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

    def find_namespace(self, document: Document) -> str:
        """Return the namespace of a document, empty where its name or namespace cannot be read."""
        return document.namespace if id(document) in self._named_document_ids else ""

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
    def inventory(self) -> Inventory:
        """Services, workloads, DestinationRules, gateways and entries among the documents."""
        return Inventory(self.documents)


def _examine(
    documents: Iterable[Document],
) -> tuple[list[tuple[Document, list[Defect]]], list[Hit]]:
    """Return each document with its defects, and a hit for each that could not be examined."""
    examined, uncheckable = [], []
    for document in documents:
        try:
            examined.append(check_document(document))
        except Exception as error:  # one object must not hide what is wrong with the others
            uncheckable.append(build_unchecked_hit("this object", error, document.at))
    return examined, uncheckable


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
