"""Picks, of objects of one name that say different things, those that are read together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from os.path import commonpath
from pathlib import PurePath

from meshproof.documents.contents import Contents, name_object
from meshproof.documents.manifest import Document


@dataclass(frozen=True)
class Turn:
    """What is read in one turn: one object of each name that several have, and all the rest."""

    name: str
    contents: Contents


def list_turns(contents: Contents) -> list[Turn]:
    """Return turns in which each variant is read at least once; a single one without variants."""
    choices = _choose_variants(contents.variants)
    if not choices:
        return [Turn("", contents)]
    return [
        Turn(f"variant {number} of {len(choices)}: {_name_all(choice)}", _take(contents, choice))
        for number, choice in enumerate(choices, start=1)
    ]


def _choose_variants(variants: Sequence[tuple[Document, ...]]) -> list[tuple[Document, ...]]:
    """Return choices of one object of each name, so that each object is in one of them.

    Objects that are kept together belong together: to an object goes, of each other name, the one
    of its file, else of the nearest folder, and of several such one that had no turn yet.
    """
    taken: set[Document] = set()
    choices = []
    for namesakes in variants:
        for leading in namesakes:
            if leading in taken:
                continue
            choice = tuple(
                leading if others is namesakes else _find_nearest(leading, others, taken)
                for others in variants
            )
            taken |= set(choice)
            choices.append(choice)
    return choices


def _find_nearest(
    leading: Document, namesakes: Sequence[Document], taken: Collection[Document]
) -> Document:
    """Return the object that is kept nearest to another one."""

    def measure(document: Document) -> tuple[bool, int, bool]:
        is_elsewhere = _find_file(document) != _find_file(leading)
        return is_elsewhere, -_count_shared_folders(document, leading), document in taken

    return min(namesakes, key=measure)


def _find_file(document: Document) -> str:
    """Return the file of an object, or that of the kustomization or chart that makes it."""
    return document.at.rendered_by or document.at.file


def _count_shared_folders(document: Document, other: Document) -> int:
    """Return how many folders lead to both objects."""
    folders = [str(PurePath("/", _find_file(each)).parent) for each in (document, other)]
    return len(PurePath(commonpath(folders)).parts)


def _name_all(choice: Sequence[Document]) -> str:
    """Return the names and places of objects, for reports."""
    return ", ".join(f"{name_object(document)} ({document.at.with_origin})" for document in choice)


def _take(contents: Contents, choice: Collection[Document]) -> Contents:
    """Return contents with these variants among the documents, in the order of the files."""
    taken = {id(document) for document in (*contents.documents, *choice)}
    documents = [document for document in contents.files.documents if id(document) in taken]
    return replace(
        contents,
        documents=documents,
        others=list(contents.others),
        left_out=list(contents.left_out),
        unserved=list(contents.unserved),
        variants=[],
    )
