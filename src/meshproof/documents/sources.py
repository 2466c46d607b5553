"""Reads files, folders and standard input, however broken.

What cannot be read is collected; the rest is read all the same, down to the single document of a
file. A file that is named must hold an object. In a folder, YAML without a Kubernetes object (Helm
values, a playbook) is no error, and a template of YAML is kept as one. Folders whose name begins
with a dot are skipped. Links are followed; each file is read once.
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

from meshproof.base.errors import BadRules, suggest_nearest
from meshproof.documents.manifest import STDIN, STDIN_NAME, At, Document, Value, parse

#: The most that one file may hold. `helm template` of a large chart is 2 MB.
MAX_BYTES = 20 * 1024 * 1024
#: The files by which kustomize and helm know a folder of theirs.
KUSTOMIZATION_FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
CHART_FILES = ("Chart.yaml", "Chart.yml")
_YAML_SUFFIXES = (".yaml", ".yml")
_SUFFIXES = (*_YAML_SUFFIXES, ".json")
#: Files that other programs make YAML or JSON of.
_TEMPLATE_SUFFIXES = (
    *(".tpl", ".tmpl", ".gotmpl", ".template", ".j2", ".jinja", ".jinja2", ".erb", ".mustache"),
    *(".jsonnet", ".libsonnet", ".cue"),
)
#: What begins an expression of Helm and Go, of Jinja, of ytt.
_TEMPLATE_MARK = re.compile(r"\{\{|\{%|^[ \t]*#@", re.M)
#: A kind that a template names; quoted in JSON, a variable in some templates.
_TEMPLATE_KIND = re.compile(
    r"""^[ \t-]*["']?kind["']?[ \t]*:+[ \t]*["']?(\w+|\{\{[^}\n]*\}\})""", re.M
)
_OBJECT_KEYS = {"apiVersion", "kind", "metadata", "spec"}
_OBJECT_KEY = re.compile(r"^[\"']?(?:apiVersion|kind)[\"']?[ \t]*:", re.M)
_DOCUMENT_MARKER = re.compile(r"^---(?=[ \t\r\n]|$)", re.M)
#: The line of a place that a message names beside its own.
_OTHER_LINE = re.compile(r"(?<=first in line )\d+")
#: What messages say of a key that a mapping has twice.
REPEATED_KEY = "stands twice"
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
    (REPEATED_KEY, "one of the two"),
)


@dataclass(frozen=True)
class Unreadable:
    """A file or a part of one that gave no document: where, why, and what mostly is the repair."""

    at: At
    message: str
    suggestion: str = ""


@dataclass(frozen=True)
class Template:
    """A file, or a part of one, that is YAML only once it is rendered.

    `kinds` are the kinds of objects that it names, in order; a kind may itself be a variable.
    """

    at: At
    kinds: tuple[str, ...]


@dataclass
class SourceFiles:
    """The documents, what could not be read, and the text of every file that was.

    `other_files` are files of folders that are neither YAML nor JSON of Kubernetes nor templates,
    `hidden_folders` those whose name begins with a dot: neither is looked into. `rendered` are the
    kustomizations and charts in whose place their objects are. `unrendered` says, by the real path
    of a file, why it is not rendered, or of which kustomization or chart it is a part.
    """

    documents: list[Document] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    templates: list[Template] = field(default_factory=list)
    other_files: list[str] = field(default_factory=list)
    hidden_folders: list[str] = field(default_factory=list)
    rendered: list[str] = field(default_factory=list)
    unrendered: dict[str, str] = field(default_factory=dict)

    def count_unread(self) -> int:
        """Return how many parts gave no document although they are there."""
        return len(self.unreadable) + len(self.templates)

    def source_lines(self, file: str) -> list[str]:
        """Return the lines of a file as YAML counts them, none if it is not text."""
        return _LINE_BREAK.split(self.texts.get(file, ""))

    def get_document_text(self, at: At) -> str:
        """Return the text of the document that a place is in."""
        lines = self.source_lines(at.file)
        markers = [number for number, line in enumerate(lines) if _DOCUMENT_MARKER.match(line)]
        start = max((number for number in markers if number < at.line), default=0)
        end = min((number for number in markers if number >= at.line), default=len(lines))
        return "\n".join(lines[start:end])


def read_sources(
    paths: Iterable[str], exclude: Iterable[str] = (), is_rendered: bool = False
) -> SourceFiles:
    """Read all that is at `paths` (`-` is standard input), down to each document that can be read.

    Files in folders that match a pattern of `exclude` (`charts/*`, `values.yaml`) are skipped. If
    it `is_rendered` afterwards, a folder may hold nothing but a kustomization or a chart.
    """
    sources, file_ids, patterns = SourceFiles(), set[tuple[int, int]](), list(exclude)
    for path in paths:
        document_count, unread_count = len(sources.documents), sources.count_unread()
        is_folder, is_repeated = os.path.isdir(path), False
        if path == STDIN:
            _add_documents(sources, STDIN_NAME, _read_stdin(), must_hold_object=True)
        elif is_folder:
            for file in _find_files(path, sources, patterns):
                is_repeated |= _read_file(sources, file, file_ids, must_hold_object=False)
        else:
            is_repeated = _read_file(sources, path, file_ids, must_hold_object=True)
        if is_repeated or sources.count_unread() > unread_count:
            continue
        documents = sources.documents[document_count:]
        if is_rendered and any(map(_makes_objects, documents)):
            continue
        if not any(map(_looks_like_object, documents)):
            del sources.documents[document_count:]
            at = At(STDIN_NAME if path == STDIN else path, 1)
            path_type = "folder" if is_folder else "file"
            message = f"there is no Kubernetes object in this {path_type}: nothing was checked"
            sources.unreadable.append(Unreadable(at, message))
    return sources


def parse_sources(text: str, file: str) -> SourceFiles:
    """Return what is in the text of a file of a folder; `file` is its name in messages."""
    sources = SourceFiles()
    _add_documents(sources, file, text.encode(), must_hold_object=False)
    return sources


def _makes_objects(document: Document) -> bool:
    """Say whether a document is of a file that kustomize or helm makes objects of."""
    return PurePath(document.at.file).name in (*KUSTOMIZATION_FILES, *CHART_FILES)


def _looks_like_object(document: Document) -> bool:
    """Say whether a document looks like an object or a rule, even a misspelt one."""
    content = document.root.content
    if not isinstance(content, dict):
        return False
    return not _OBJECT_KEYS.isdisjoint(content) or "route" in str(
        getattr(content.get("type"), "content", "")
    )


def _find_files(folder: str, sources: SourceFiles, exclude_patterns: list[str]) -> Iterator[str]:
    """Yield the files of a folder that may hold objects, sorted; keep the names of the others.

    A folder in a circle of links is walked once.
    """
    folder_ids: set[tuple[int, int]] = set()
    errors: list[OSError] = []
    for current_folder, folders, files in os.walk(folder, followlinks=True, onerror=errors.append):
        subfolders = []
        for name in sorted(folders):
            subfolder = os.path.join(current_folder, name)
            folder_id = _identify_file(subfolder)
            if folder_id in folder_ids or _is_excluded(subfolder, folder, exclude_patterns):
                continue
            if name[0] == ".":
                sources.hidden_folders.append(subfolder)
                continue
            folder_ids.add(folder_id)
            subfolders.append(name)
        folders[:] = subfolders
        folder_ids.add(_identify_file(current_folder))
        for name in sorted(files):
            file = os.path.join(current_folder, name)
            if _is_excluded(file, folder, exclude_patterns):
                continue
            if name.endswith((*_SUFFIXES, *_TEMPLATE_SUFFIXES)) or name in KUSTOMIZATION_FILES:
                yield file
            else:
                sources.other_files.append(file)
    for error in errors:
        at = At(os.fsdecode(error.filename or folder), 1)
        sources.unreadable.append(Unreadable(at, f"cannot be read: {error.strerror}"))


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
    sources: SourceFiles, file: str, file_ids: set[tuple[int, int]], must_hold_object: bool
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
            sources.unreadable.append(_describe_size(file, status.st_size))
            return False
        with open(file, "rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        hint = _suggest_neighbour(file) if isinstance(error, FileNotFoundError) else ""
        sources.unreadable.append(Unreadable(At(file, 1), f"cannot be read: {reason}{hint}"))
        return False
    _add_documents(sources, file, content, must_hold_object)
    return False


def _suggest_neighbour(file: str) -> str:
    """Return a hint at the nearest name in the folder of a file that is not there, or ""."""
    path = PurePath(file)
    try:
        names = os.listdir(path.parent)
    except OSError:
        return ""
    return suggest_nearest(path.name, sorted(names))


def _read_stdin() -> bytes:
    """Return what is on standard input, nothing if that is closed."""
    if sys.stdin is None:
        return b""
    return sys.stdin.buffer.read(MAX_BYTES + 1)


def _describe_size(file: str, size: int) -> Unreadable:
    """Return the problem of a file that is too large."""
    message = f"{size / 1024 / 1024:.0f} MB is too large, {MAX_BYTES // 1024 // 1024} MB are read"
    return Unreadable(At(file, 1), message, "is this a rule file? if so, split it")


def _add_documents(sources: SourceFiles, file: str, content: bytes, must_hold_object: bool) -> None:
    """Parse the content of one file and add its documents."""
    if len(content) > MAX_BYTES:
        sources.unreadable.append(_describe_size(file, len(content)))
        return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"not a text file (byte {error.start} is not UTF-8)"
        sources.unreadable.append(Unreadable(At(file, line), message))
        return
    if not must_hold_object and _is_other_file(file, text):
        sources.other_files.append(file)
        return
    sources.texts[file] = text
    if not must_hold_object and file.endswith(_TEMPLATE_SUFFIXES):
        sources.templates.append(_build_template(At(file, 1), text))
        return
    try:
        sources.documents += parse(text, file)
    except (BadRules, RecursionError):
        _add_readable_documents(sources, file, text, must_hold_object)


def _is_other_file(file: str, text: str) -> bool:
    """Say whether a JSON file is no object of Kubernetes, or a template names no kind."""
    if file.endswith(".json"):
        return not ('"apiVersion"' in text and '"kind"' in text)
    return file.endswith(_TEMPLATE_SUFFIXES) and not _TEMPLATE_KIND.search(text)


def _build_template(at: At, text: str) -> Template:
    """Return the template with this text."""
    return Template(at, tuple(dict.fromkeys(_TEMPLATE_KIND.findall(text))))


def _add_readable_documents(
    sources: SourceFiles, file: str, text: str, must_hold_object: bool
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
            _add_document(sources, file, document_text, line_offset, must_hold_object)


def _add_document(
    sources: SourceFiles, file: str, document_text: str, line_offset: int, must_hold_object: bool
) -> None:
    """Parse one document that begins after `line_offset` lines; add it, or a hit."""
    try:
        documents = parse(document_text, file)
    except RecursionError:
        sources.unreadable.append(Unreadable(At(file, line_offset + 1), "nested too deeply"))
    except BadRules as error:
        line, message = error.line or 1, error.reason or str(error).removeprefix(f"{file}: ")
        at = At(file, line + line_offset, error.column or 1)
        if not must_hold_object and _TEMPLATE_MARK.search(document_text):
            at = At(file, line_offset + 1)
            sources.templates.append(_build_template(at, document_text))
            return
        if not must_hold_object and _is_of_another_program(message, document_text):
            sources.documents.append(Document(Value(*at, "", {})))  # reported as not checked
            return
        lines = _LINE_BREAK.split(document_text)
        broken_line = lines[line - 1] if line <= len(lines) else ""
        repair = _suggest_repair(message, broken_line)
        message = _OTHER_LINE.sub(lambda match: str(int(match[0]) + line_offset), message)
        sources.unreadable.append(Unreadable(at, message, repair))
    else:
        sources.documents += [_shift_lines(document, line_offset) for document in documents]


def _is_of_another_program(message: str, document_text: str) -> bool:
    """Say whether what cannot be read is right YAML that was never meant for Kubernetes."""
    if "expected a mapping" in message:
        return _is_list_or_text(document_text)
    is_right_yaml = "the tag !" in message or "a key must be text" in message
    return is_right_yaml and not _OBJECT_KEY.search(document_text)


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
            shifted_values[id(value)] = Value(*shift_at(value.at), value.path, content, keys)
        return shifted_values[id(value)]

    def shift_at(at: At) -> At:
        return At(at.file, at.line + offset, at.column)

    return Document(shift_value(document.root))
