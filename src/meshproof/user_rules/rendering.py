"""Renders kustomizations and charts of a user's folders, by the programs that are on PATH.

A renderer gets no network, no other program, no cluster and none of the user's settings, and its
plugins stay switched off. What it needs from afar is refused by name before it runs.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.documents.contents import (
    Contents,
    find_change,
    is_kustomization,
    list_mesh_kinds,
    sort_contents,
)
from meshproof.documents.lookup import find_values, read_text
from meshproof.documents.manifest import Document
from meshproof.documents.sources import (
    CHART_FILES,
    KUSTOMIZATION_FILES,
    MAX_BYTES,
    SourceFiles,
    read_sources,
)
from meshproof.user_rules.rendered_places import find_chart_sources, find_kustomize_sources, move

#: No folder of rules takes longer than a few seconds.
SECONDS = 30
#: So many characters of what a renderer says are told.
_MAX_CAUSE = 240
#: Where a kustomization names files and folders: all of them must be on this machine.
_LOCAL_KEYS = (
    *(("bases",), ("components",), ("configurations",), ("crds",), ("generators",)),
    *(("patches", "path"), ("patchesJson6902", "path"), ("patchesStrategicMerge",)),
    *(("replacements", "path"), ("resources",), ("transformers",), ("validators",)),
)
_CHART_FILE = re.compile(r"Chart\.ya?ml|values[-.\w]*\.ya?ml")


class _NotRendered(Exception):
    """Why something cannot be rendered."""


@dataclass(frozen=True)
class _Root:
    """What is rendered as a whole: its folder, its own file, and the files that go into it."""

    folder: str
    file: str
    inputs: frozenset[str]


def read_rendered(paths: Iterable[str], exclude: Iterable[str], renders: bool) -> Contents:
    """Return what is at `paths`, sorted; kustomizations and charts are rendered where needed."""
    files = read_sources(paths, exclude, is_rendered=True)
    for roots, render in (
        (_find_kustomizations(files), _render_kustomization),
        (_find_charts(files), _render_chart),
    ):
        for root in roots:
            _replace_by_rendered(files, root, render, renders)
    return sort_contents(files)


def _replace_by_rendered(
    files: SourceFiles,
    root: _Root,
    render: Callable[[_Root, SourceFiles], list[Document]],
    renders: bool,
) -> None:
    """Put what a root makes in the place of its files; else say in `files` why not."""
    try:
        if not renders:
            raise _NotRendered("--no-render")
        documents = render(root, files)
    except _NotRendered as error:
        files.unrendered |= dict.fromkeys(root.inputs - files.unrendered.keys(), root.file)
        files.unrendered[_locate(root.file)] = str(error)
        return
    files.documents = [
        document
        for document in files.documents
        # What another root makes of the same files stays.
        if document.at.origin or _locate(document.at.file) not in root.inputs
    ]
    files.documents += documents
    files.templates = [
        template for template in files.templates if _locate(template.at.file) not in root.inputs
    ]
    files.unreadable = [
        unreadable
        for unreadable in files.unreadable
        if _locate(unreadable.at.file) not in root.inputs
    ]
    files.rendered.append(root.file)


def _locate(path: str | Path) -> str:
    """Return the one name of a file, however it is written."""
    return os.path.realpath(path)


def _find_kustomizations(files: SourceFiles) -> list[_Root]:
    """Return the kustomizations that change objects and that no other such one makes use of."""
    read_files = {_locate(file) for file in files.texts}
    changing = [
        document
        for document in files.documents
        if is_kustomization(document)
        and (find_change(document) or _reaches_outside(document, read_files))
    ]
    roots = [
        _Root(
            os.path.dirname(document.at.file) or ".",
            document.at.file,
            frozenset({_locate(document.at.file), *_list_inputs(document)}),
        )
        for document in changing
        if read_text(document.root.mapping().get("kind")) != "Component"
    ]
    return [
        root
        for root in roots
        if not any(_locate(root.file) in other.inputs for other in roots if other is not root)
    ]


def _reaches_outside(kustomization: Document, read_files: set[str]) -> bool:
    """Say whether a kustomization names something that is there and was not read."""
    for path in _list_named_paths(kustomization):
        file = _find_kustomization_file(path) if path.is_dir() else path
        if file is not None and file.exists() and _locate(file) not in read_files:
            return True
    return False


def _list_inputs(kustomization: Document) -> Iterator[str]:
    """Yield the files that a kustomization takes in, and those of its bases in turn."""
    pending, known = [kustomization], {_locate(kustomization.at.file)}
    while pending:
        document = pending.pop()
        for path in _list_named_paths(document):
            file = _find_kustomization_file(path) if path.is_dir() else path
            if file is None or _locate(file) in known:
                continue
            known.add(_locate(file))
            yield _locate(file)
            if path.is_dir():
                pending += _read_kustomization(file)


def _list_named_paths(kustomization: Document) -> Iterator[Path]:
    """Yield the paths that a kustomization names, whether or not there is something."""
    folder = Path(kustomization.at.file).parent
    yield from (folder / name for name in _list_names(kustomization))


def _list_names(kustomization: Document) -> Iterator[str]:
    """Yield the files and folders that a kustomization names, as they are written."""
    for keys in _LOCAL_KEYS:
        for value in find_values(kustomization.root, *keys):
            name = read_text(value)
            if name and "\n" not in name:
                yield name


def _find_kustomization_file(folder: Path) -> Path | None:
    """Return the kustomization of a folder, None if it has none."""
    files = (folder / name for name in KUSTOMIZATION_FILES)
    return next((file for file in files if file.is_file()), None)


def _read_kustomization(file: Path) -> list[Document]:
    """Return the kustomization in a file, nothing if it cannot be read: its renderer says why."""
    with suppress(BadRules, OSError, UnicodeDecodeError):
        return manifest.parse(file.read_text(encoding="utf-8"), str(file))
    return []


def _render_kustomization(root: _Root, files: SourceFiles) -> list[Document]:
    """Return the objects that a kustomization makes, with their places in its files."""
    _refuse_from_afar(root)
    program, arguments = _find_kustomize()
    with tempfile.TemporaryDirectory(prefix="meshproof-render-") as name:
        folder = Path(os.path.realpath(name))
        wrapper = folder / "wrapper"
        wrapper.mkdir()
        target = os.path.relpath(os.path.realpath(root.folder), wrapper)
        # The wrapper asks for the origin of each object: nothing is written to the user's folder.
        (wrapper / "kustomization.yaml").write_text(
            f"resources: ['{target.replace(chr(39), chr(39) * 2)}']\n"
            "buildMetadata: [originAnnotations]\n"
        )
        text = _run([program, *arguments, str(wrapper)], folder)
        documents = _parse(text, root)
        sources = find_kustomize_sources(documents, wrapper, files)
    return move(documents, sources, root.file)


def _find_kustomize() -> tuple[str, list[str]]:
    """Return the program that renders kustomizations, and its arguments before the folder."""
    if program := shutil.which("kustomize"):
        return program, ["build"]
    if program := shutil.which("kubectl"):
        return program, ["kustomize"]
    raise _NotRendered("neither kustomize nor kubectl is on PATH")


def _refuse_from_afar(root: _Root) -> None:
    """Raise _NotRendered for what a kustomization, or a base of it, would fetch or execute."""
    for file in (_locate(root.file), *sorted(root.inputs)):
        path = Path(file)
        if path.name not in KUSTOMIZATION_FILES:
            continue
        for document in _read_kustomization(path):
            if find_values(document.root, "helmCharts") or find_values(
                document.root, "helmChartInflationGenerator"
            ):
                raise _NotRendered("it has charts fetched and run by helm, which is not done")
            for name in _list_names(document):
                if not (path.parent / name).exists():
                    raise _NotRendered(f"{name} is not here, and nothing is fetched")


def _find_charts(files: SourceFiles) -> list[_Root]:
    """Return the charts with templates of rules, or of what rules stand on; no part of another."""
    charts = {
        os.path.dirname(document.at.file) or ".": document
        for document in files.documents
        if os.path.basename(document.at.file) in CHART_FILES
    }
    roots = []
    for folder, chart in charts.items():
        parents = Path(folder).parents
        is_part = any(str(parent) in charts for parent in parents)
        is_library = read_text(chart.root.mapping().get("type")) == "library"
        templates = [
            template
            for template in files.templates
            if _is_of_chart(template.at.file, folder) and list_mesh_kinds(template)
        ]
        if templates and not is_part and not is_library:
            paths = [template.at.file for template in files.templates]
            paths += [document.at.file for document in files.documents]
            paths += [unreadable.at.file for unreadable in files.unreadable]
            inputs = {_locate(path) for path in paths if _is_of_chart(path, folder)}
            roots.append(_Root(folder, chart.at.file, frozenset(inputs)))
    return roots


def _is_of_chart(path: str, folder: str) -> bool:
    """Say whether a file is a part of the chart in a folder."""
    parts = Path(os.path.relpath(path, folder)).parts
    if len(parts) == 1:
        return bool(_CHART_FILE.fullmatch(parts[0]))
    return parts[0] in ("templates", "charts", "crds")


def _render_chart(root: _Root, files: SourceFiles) -> list[Document]:
    """Return the objects that a chart makes of its own values, with their places in its files."""
    program = shutil.which("helm")
    if program is None:
        raise _NotRendered("helm is not on PATH")
    (chart, *_) = _read_kustomization(Path(root.file))
    release = re.sub(r"[^a-z0-9-]", "-", read_text(chart.root.mapping().get("name")).lower())
    with tempfile.TemporaryDirectory(prefix="meshproof-render-") as name:
        chart_folder = os.path.realpath(root.folder)
        command = [program, "template", "--no-hooks", release[:53] or "release", chart_folder]
        text = _run(command, Path(name))
    documents = _parse(text, root)
    return move(documents, find_chart_sources(documents, text, root.folder, files), root.file)


def _run(command: list[str], folder: Path) -> str:
    """Return what a renderer prints. Raises _NotRendered where it fails or takes too long."""
    environment = {
        "PATH": str(folder / "no-programs"),
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder),
        "KUBECONFIG": os.devnull,
        "GIT_ALLOW_PROTOCOL": "none",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise _NotRendered(f"{_name(command)} took more than {SECONDS} s") from None
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    message = " ".join(errors.decode("utf-8", "replace").split())
    if process.returncode:
        # The cause is at the end: before it are the folders that led there.
        cause = message if len(message) <= _MAX_CAUSE else f"... {message[-_MAX_CAUSE:]}"
        raise _NotRendered(f"{_name(command)} ended with {process.returncode}: {cause}")
    if len(output) > MAX_BYTES:
        raise _NotRendered(f"{_name(command)} printed more than {MAX_BYTES // 1024 // 1024} MB")
    return output.decode("utf-8", "replace")


def _name(command: list[str]) -> str:
    """Return program and action of a command."""
    return f"{os.path.basename(command[0])} {command[1]}"


def _parse(text: str, root: _Root) -> list[Document]:
    """Return the objects that a renderer printed."""
    try:
        return manifest.parse(text, f"{root.file} rendered")
    except BadRules as error:
        raise _NotRendered(f"what it makes cannot be read: {error}") from None
