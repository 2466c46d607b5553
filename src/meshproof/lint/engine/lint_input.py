"""Reads what is to be linted, however broken it is: files, folders, standard input.

What cannot be read becomes a hit (MP0100), and the rest is read all the same: of a file with many
documents those that are whole. A file that is named itself must hold an object. In a folder, YAML
that describes no Kubernetes object (values of Helm, a playbook, a kustomization) is no error: it is
handed on and reported as not checked (MP0203), since silence would look like a pass. Folders whose
name begins with a dot are passed over; links are followed, each file is read once.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath

from meshproof.base.errors import BadRules
from meshproof.documents.manifest import STDIN, STDIN_NAME, At, Document, Value, parse
from meshproof.lint.checks.mp0100_unreadable import hit
from meshproof.lint.engine.finding import Hit

#: The most that one file may hold. `helm template` of a large chart is 2 MB.
MAX_BYTES = 20 * 1024 * 1024
_SUFFIXES = (".yaml", ".yml")
_OBJECT_KEYS = {"apiVersion", "kind", "metadata", "spec"}
_DOCUMENT_MARKER = re.compile(r"^---(?=[ \t\r\n]|$)", re.M)
#: The line of a place that a message names beside its own.
_OTHER_LINE = re.compile(r"(?<=first in line )\d+")
_BLANK = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\r?(?:\n|$)|%[^\n]*\n|\.\.\.\r?\n?)*")
_LINE_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")

#: What the YAML reader says -> what mostly is the repair.
_REPAIRS = (
    (r"unknown escape character", "single quotes: in double quotes a backslash begins an escape"),
    (r"expected alphabetic or numeric character", "quotes around the value"),
    (r"mapping values are not allowed", "quotes around a text with ': ', or the right indentation"),
    (r"could not find expected ':'", "a space after each ':', and one indentation for all keys"),
    (
        r"did not find expected (key|<block end>)",
        "the same indentation for keys of one level",
    ),
    (r"did not find expected (',' or|'-')", "the bracket or dash that is missing"),
    (r"unexpected end of stream", "the quote or bracket that is not closed"),
    (r"undefined alias", "the anchor, in the same document and before the alias"),
    (r"stands twice", "one of the two"),
)


@dataclass
class LintInput:
    """The documents, the hits of what could not be read, and the text of every file."""

    documents: list[Document] = field(default_factory=list)
    unreadable: list[Hit] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)

    def source_lines(self, file: str) -> list[str]:
        """Return the lines of a file, as YAML counts them (none for what is no text)."""
        return _LINE_BREAK.split(self.texts.get(file, ""))


def read_input(paths: Iterable[str], exclude: Iterable[str] = ()) -> LintInput:
    """Return all that can be read at `paths` (`-` is standard input), and what cannot.

    Files of folders that fit a pattern of `exclude` (`charts/*`, `values.yaml`) are left out.
    """
    found, seen, left_out = LintInput(), set[tuple[int, int]](), list(exclude)
    for path in paths:
        documents, hits = len(found.documents), len(found.unreadable)
        is_folder, again = os.path.isdir(path), False
        if path == STDIN:
            _add_documents(found, STDIN_NAME, _read_stdin(), named=True)
        elif is_folder:
            for file in _find_yaml_files(path, found, left_out):
                again |= _read_file(found, file, seen, named=False)
        else:
            again = _read_file(found, path, seen, named=True)
        if again or len(found.unreadable) > hits:
            continue
        if not any(map(_looks_like_object, found.documents[documents:])):
            del found.documents[documents:]
            place = At(STDIN_NAME if path == STDIN else path, 1)
            what = "folder" if is_folder else "file"
            said = f"there is no Kubernetes object in this {what}: nothing was checked"
            found.unreadable.append(Hit(place, said))
    return found


def _looks_like_object(document: Document) -> bool:
    """Say whether a document looks like an object or a rule, also a misspelt one."""
    content = document.root.content
    if not isinstance(content, dict):
        return False
    return not _OBJECT_KEYS.isdisjoint(content) or "route" in str(
        getattr(content.get("type"), "content", "")
    )


def _find_yaml_files(folder: str, found: LintInput, exclude: list[str]) -> Iterator[str]:
    """Yield the YAML files of a folder, sorted; a folder that links lead back to is walked once."""
    seen: set[tuple[int, int]] = set()
    errors: list[OSError] = []
    for place, folders, files in os.walk(folder, followlinks=True, onerror=errors.append):
        kept = []
        for name in sorted(folders):
            inner = os.path.join(place, name)
            key = _identify_file(inner)
            if name[0] != "." and key not in seen and not _is_excluded(inner, folder, exclude):
                seen.add(key)
                kept.append(name)
        folders[:] = kept
        seen.add(_identify_file(place))
        for name in sorted(files):
            file = os.path.join(place, name)
            if name.endswith(_SUFFIXES) and not _is_excluded(file, folder, exclude):
                yield file
    for error in errors:
        at = At(os.fsdecode(error.filename or folder), 1)
        found.unreadable.append(Hit(at, f"cannot be read: {error.strerror}"))


def _is_excluded(path: str, folder: str, exclude: list[str]) -> bool:
    inner = PurePath(path).relative_to(folder)
    return any(
        fnmatch.fnmatch(name, pattern.rstrip("/"))
        for pattern in exclude
        for name in (path, str(inner), inner.name)
    )


def _identify_file(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return (-1, hash(path))
    return found.st_dev, found.st_ino


def _read_file(found: LintInput, file: str, seen: set[tuple[int, int]], named: bool) -> bool:
    """Read one file; say whether it had been read already, under this name or another."""
    try:
        status = os.stat(file)
        if not named and not stat.S_ISREG(status.st_mode):
            return False
        if (status.st_dev, status.st_ino) in seen:
            return True
        seen.add((status.st_dev, status.st_ino))
        if status.st_size > MAX_BYTES:
            found.unreadable.append(_build_size_hit(file, status.st_size))
            return False
        with open(file, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        found.unreadable.append(Hit(At(file, 1), f"cannot be read: {said}"))
        return False
    _add_documents(found, file, data, named)
    return False


def _read_stdin() -> bytes:
    if sys.stdin is None:
        return b""
    return sys.stdin.buffer.read(MAX_BYTES + 1)


def _build_size_hit(file: str, size: int) -> Hit:
    said = f"{size / 1024 / 1024:.0f} MB is too large, {MAX_BYTES // 1024 // 1024} MB are read"
    return Hit(At(file, 1), said, "is this a rule file? if so, split it")


def _add_documents(found: LintInput, file: str, data: bytes, named: bool) -> None:
    """Take the documents of one file's content."""
    if len(data) > MAX_BYTES:
        found.unreadable.append(_build_size_hit(file, len(data)))
        return
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        said = f"not a text file (byte {error.start} is not UTF-8)"
        found.unreadable.append(Hit(At(file, line), said))
        return
    found.texts[file] = text
    try:
        found.documents += parse(text, file)
    except (BadRules, RecursionError):
        _add_readable_documents(found, file, text, named)


def _add_readable_documents(found: LintInput, file: str, text: str, named: bool) -> None:
    """Take the documents of a file one by one, since one of them at least is broken."""
    starts = [0, *(mark.start() for mark in _DOCUMENT_MARKER.finditer(text) if mark.start())]
    ends = [*starts[1:], len(text)]
    line, before = 0, 0
    for start, end in zip(starts, ends, strict=True):
        line, before = line + len(_LINE_BREAK.findall(text, before, start)), start
        piece = text[start:end]
        body = _DOCUMENT_MARKER.sub("", piece, count=1)
        if not _BLANK.fullmatch(body):
            _add_document(found, file, piece, line, named)


def _add_document(found: LintInput, file: str, piece: str, line: int, named: bool) -> None:
    try:
        documents = parse(piece, file)
    except RecursionError:
        found.unreadable.append(Hit(At(file, line + 1), "nested too deeply"))
    except BadRules as error:
        broken = hit(error, file)
        at = broken.at._replace(line=broken.at.line + line)
        if not named and "expected a mapping" in broken.message and _is_list_or_text(piece):
            found.documents.append(Document(Value(at, "", {})))  # reported as not checked
            return
        lines = _LINE_BREAK.split(piece)
        there = lines[broken.at.line - 1] if broken.at.line <= len(lines) else ""
        repair = _suggest_repair(broken.message, there)
        said = _OTHER_LINE.sub(lambda match: str(int(match[0]) + line), broken.message)
        found.unreadable.append(Hit(at, said, repair))
    else:
        found.documents += [_shift_lines(document, line) for document in documents]


def _is_list_or_text(piece: str) -> bool:
    """Say whether a piece of YAML is no mapping at all."""
    import itertools

    import yaml

    events = itertools.islice(yaml.parse(piece, Loader=yaml.CSafeLoader), 3)
    try:
        return not any(isinstance(event, yaml.MappingStartEvent) for event in events)
    except yaml.YAMLError:
        return False


def _suggest_repair(said: str, line: str) -> str:
    """Return what mostly helps against what the YAML reader says about a line."""
    if "{{" in line:
        return "this is a template: helm template CHART | meshproof lint -"
    if "cannot start any token" in said:
        tab = line.lstrip(" ").startswith("\t")
        return "spaces instead of the tab" if tab else "quotes around the value"
    return next((repair for sign, repair in _REPAIRS if re.search(sign, said)), "")


def _shift_lines(document: Document, lines: int) -> Document:
    """Return a document as it stands that many lines further down."""
    done: dict[int, Value] = {}

    def moved(value: Value) -> Value:
        if id(value) not in done:
            content = value.content
            if isinstance(content, dict):
                content = {key: moved(one) for key, one in content.items()}
            elif isinstance(content, list):
                content = [moved(one) for one in content]
            keys = {key: further(at) for key, at in value.keys.items()}
            done[id(value)] = Value(further(value.at), value.path, content, keys)
        return done[id(value)]

    def further(at: At) -> At:
        return At(at.file, at.line + lines, at.column)

    return Document(moved(document.root))
