"""Reads what is to be linted, however broken: files, folders, standard input.

What cannot be read becomes a hit (MP0100); the rest is read all the same, down to the single
document of a file. A file named on the command line must hold an object. In a folder, YAML
without a Kubernetes object (Helm values, a playbook, a kustomization) is no error: it is reported
as not checked (MP0203), since silence would look like a pass. Folders whose name begins with a dot
are skipped. Links are followed; each file is read once.
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
from meshproof.lint.checks.mp0100_unreadable import build_unreadable_hit
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
    """The documents, hits for what could not be read, and the text of every file."""

    documents: list[Document] = field(default_factory=list)
    unreadable: list[Hit] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)

    def source_lines(self, file: str) -> list[str]:
        """Return the lines of a file as YAML counts them, none if it is not text."""
        return _LINE_BREAK.split(self.texts.get(file, ""))


def read_input(paths: Iterable[str], exclude: Iterable[str] = ()) -> LintInput:
    """Read all that is at `paths` (`-` is standard input); what is unreadable becomes a hit.

    Files in folders that match a pattern of `exclude` (`charts/*`, `values.yaml`) are skipped.
    """
    lint_input, file_ids, patterns = LintInput(), set[tuple[int, int]](), list(exclude)
    for path in paths:
        document_count, hit_count = len(lint_input.documents), len(lint_input.unreadable)
        is_folder, is_repeated = os.path.isdir(path), False
        if path == STDIN:
            _add_documents(lint_input, STDIN_NAME, _read_stdin(), must_hold_object=True)
        elif is_folder:
            for file in _find_yaml_files(path, lint_input, patterns):
                is_repeated |= _read_file(lint_input, file, file_ids, must_hold_object=False)
        else:
            is_repeated = _read_file(lint_input, path, file_ids, must_hold_object=True)
        if is_repeated or len(lint_input.unreadable) > hit_count:
            continue
        if not any(map(_looks_like_object, lint_input.documents[document_count:])):
            del lint_input.documents[document_count:]
            at = At(STDIN_NAME if path == STDIN else path, 1)
            path_type = "folder" if is_folder else "file"
            message = f"there is no Kubernetes object in this {path_type}: nothing was checked"
            lint_input.unreadable.append(Hit(at, message))
    return lint_input


def _looks_like_object(document: Document) -> bool:
    """Say whether a document looks like an object or a rule, even a misspelt one."""
    content = document.root.content
    if not isinstance(content, dict):
        return False
    return not _OBJECT_KEYS.isdisjoint(content) or "route" in str(
        getattr(content.get("type"), "content", "")
    )


def _find_yaml_files(
    folder: str, lint_input: LintInput, exclude_patterns: list[str]
) -> Iterator[str]:
    """Yield the YAML files of a folder, sorted. A folder in a circle of links is walked once."""
    folder_ids: set[tuple[int, int]] = set()
    errors: list[OSError] = []
    for current_folder, folders, files in os.walk(folder, followlinks=True, onerror=errors.append):
        subfolders = []
        for name in sorted(folders):
            subfolder = os.path.join(current_folder, name)
            folder_id = _identify_file(subfolder)
            if (
                name[0] != "."
                and folder_id not in folder_ids
                and not _is_excluded(subfolder, folder, exclude_patterns)
            ):
                folder_ids.add(folder_id)
                subfolders.append(name)
        folders[:] = subfolders
        folder_ids.add(_identify_file(current_folder))
        for name in sorted(files):
            file = os.path.join(current_folder, name)
            if name.endswith(_SUFFIXES) and not _is_excluded(file, folder, exclude_patterns):
                yield file
    for error in errors:
        at = At(os.fsdecode(error.filename or folder), 1)
        lint_input.unreadable.append(Hit(at, f"cannot be read: {error.strerror}"))


def _is_excluded(path: str, folder: str, exclude_patterns: list[str]) -> bool:
    """Say whether a path, its name or its path in the folder matches a pattern."""
    relative_path = PurePath(path).relative_to(folder)
    return any(
        fnmatch.fnmatch(name, pattern.rstrip("/"))
        for pattern in exclude_patterns
        for name in (path, str(relative_path), relative_path.name)
    )


def _identify_file(path: str) -> tuple[int, int]:
    """Return device and inode of a path, or a stand-in if there is no such file."""
    try:
        status = os.stat(path)
    except OSError:
        return (-1, hash(path))
    return status.st_dev, status.st_ino


def _read_file(
    lint_input: LintInput, file: str, file_ids: set[tuple[int, int]], must_hold_object: bool
) -> bool:
    """Read one file. Return True if it was already read, under whatever name."""
    try:
        status = os.stat(file)
        if not must_hold_object and not stat.S_ISREG(status.st_mode):
            return False
        if (status.st_dev, status.st_ino) in file_ids:
            return True
        file_ids.add((status.st_dev, status.st_ino))
        if status.st_size > MAX_BYTES:
            lint_input.unreadable.append(_build_size_hit(file, status.st_size))
            return False
        with open(file, "rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        lint_input.unreadable.append(Hit(At(file, 1), f"cannot be read: {reason}"))
        return False
    _add_documents(lint_input, file, content, must_hold_object)
    return False


def _read_stdin() -> bytes:
    """Return what is on standard input, nothing if that is closed."""
    if sys.stdin is None:
        return b""
    return sys.stdin.buffer.read(MAX_BYTES + 1)


def _build_size_hit(file: str, size: int) -> Hit:
    """Return the hit for a file that is too large."""
    message = f"{size / 1024 / 1024:.0f} MB is too large, {MAX_BYTES // 1024 // 1024} MB are read"
    return Hit(At(file, 1), message, "is this a rule file? if so, split it")


def _add_documents(
    lint_input: LintInput, file: str, content: bytes, must_hold_object: bool
) -> None:
    """Parse the content of one file and add its documents."""
    if len(content) > MAX_BYTES:
        lint_input.unreadable.append(_build_size_hit(file, len(content)))
        return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"not a text file (byte {error.start} is not UTF-8)"
        lint_input.unreadable.append(Hit(At(file, line), message))
        return
    lint_input.texts[file] = text
    try:
        lint_input.documents += parse(text, file)
    except (BadRules, RecursionError):
        _add_readable_documents(lint_input, file, text, must_hold_object)


def _add_readable_documents(
    lint_input: LintInput, file: str, text: str, must_hold_object: bool
) -> None:
    """Parse a file document by document, since at least one of them is broken."""
    starts = [0, *(mark.start() for mark in _DOCUMENT_MARKER.finditer(text) if mark.start())]
    ends = [*starts[1:], len(text)]
    line_offset, previous_start = 0, 0
    for start, end in zip(starts, ends, strict=True):
        line_offset, previous_start = (
            line_offset + len(_LINE_BREAK.findall(text, previous_start, start)),
            start,
        )
        document_text = text[start:end]
        body = _DOCUMENT_MARKER.sub("", document_text, count=1)
        if not _BLANK.fullmatch(body):
            _add_document(lint_input, file, document_text, line_offset, must_hold_object)


def _add_document(
    lint_input: LintInput, file: str, document_text: str, line_offset: int, must_hold_object: bool
) -> None:
    """Parse one document that begins after `line_offset` lines; add it, or a hit."""
    try:
        documents = parse(document_text, file)
    except RecursionError:
        lint_input.unreadable.append(Hit(At(file, line_offset + 1), "nested too deeply"))
    except BadRules as error:
        parse_hit = build_unreadable_hit(error, file)
        at = parse_hit.at._replace(line=parse_hit.at.line + line_offset)
        if (
            not must_hold_object
            and "expected a mapping" in parse_hit.message
            and _is_list_or_text(document_text)
        ):
            lint_input.documents.append(Document(Value(at, "", {})))  # reported as not checked
            return
        lines = _LINE_BREAK.split(document_text)
        broken_line = lines[parse_hit.at.line - 1] if parse_hit.at.line <= len(lines) else ""
        repair = _suggest_repair(parse_hit.message, broken_line)
        message = _OTHER_LINE.sub(lambda match: str(int(match[0]) + line_offset), parse_hit.message)
        lint_input.unreadable.append(Hit(at, message, repair))
    else:
        lint_input.documents += [_shift_lines(document, line_offset) for document in documents]


def _is_list_or_text(document_text: str) -> bool:
    """Say whether a piece of YAML is something other than a mapping."""
    import itertools

    import yaml

    events = itertools.islice(yaml.parse(document_text, Loader=yaml.CSafeLoader), 3)
    try:
        return not any(isinstance(event, yaml.MappingStartEvent) for event in events)
    except yaml.YAMLError:
        return False


def _suggest_repair(message: str, line: str) -> str:
    """Return the usual repair for what the YAML parser says about a line."""
    if "{{" in line:
        return "this is a template: helm template CHART | meshproof lint -"
    if "cannot start any token" in message:
        begins_with_tab = line.lstrip(" ").startswith("\t")
        return "spaces instead of the tab" if begins_with_tab else "quotes around the value"
    return next((repair for pattern, repair in _REPAIRS if re.search(pattern, message)), "")


def _shift_lines(document: Document, offset: int) -> Document:
    """Return a document with all its places moved down by `offset` lines."""
    shifted_values: dict[int, Value] = {}

    def shift_value(value: Value) -> Value:
        if id(value) not in shifted_values:
            content = value.content
            if isinstance(content, dict):
                content = {key: shift_value(child) for key, child in content.items()}
            elif isinstance(content, list):
                content = [shift_value(child) for child in content]
            keys = {key: shift_at(at) for key, at in value.keys.items()}
            shifted_values[id(value)] = Value(shift_at(value.at), value.path, content, keys)
        return shifted_values[id(value)]

    def shift_at(at: At) -> At:
        return At(at.file, at.line + offset, at.column)

    return Document(shift_value(document.root))
