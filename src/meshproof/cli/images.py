"""`meshproof images`: which images a run on a cluster needs, fetched, put into a mirror."""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from meshproof.base import errors
from meshproof.base.errors import NotReady, UsageError, nearest, plural
from meshproof.mesh.cluster.api import image_tools, images

if TYPE_CHECKING:
    from meshproof.documents.manifest import Document
    from meshproof.documents.value import Value

DESCRIPTION = (
    "list prints every image that a run on a cluster needs, one a line, under the name from which "
    "the cluster will pull it: of the apps (or of your own Kubernetes files at PATH) and of the "
    "probe. pull fetches these to this machine; push puts the official ones under these names into "
    "your mirror. Both call docker, podman, nerdctl, crane or skopeo, the first that is on PATH. "
    "For a site without a way out: `pull --folder DIR` here, then `push --folder DIR "
    "--image-prefix MIRROR` there."
)
_ACTIONS = {
    "list": "print the images",
    "pull": "fetch them to this machine",
    "push": "put them into a mirror",
}
#: What may be in a reference (distribution/reference); it never looks like an option.
_REFERENCE = re.compile(r"[A-Za-z0-9][\w.:/@+-]*")


@dataclass(frozen=True)
class Image:
    """An image that is needed: as manifests name it, as it is pulled, and by which objects."""

    official: str
    image: str
    needed_by: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    actions = parser.add_subparsers(
        dest="action", metavar="ACTION", required=True, parser_class=type(parser)
    )
    for name, words in _ACTIONS.items():
        action = actions.add_parser(name, help=words)
        add = action.add_argument
        add("paths", nargs="*", metavar="PATH", help="your own Kubernetes files, not the apps")
        add("--image-prefix", metavar="PREFIX", default="", help="registry and path of your mirror")
        add("--image-map", metavar="IMAGE=IMAGE", action="append", default=[], help="pull instead")
        if name == "list":
            add("-o", "--output", choices=["text", "json"], default="text", help="default: text")
            continue
        add("--folder", metavar="DIR", help="where images are kept as files, to be carried")
        add("--tool", metavar="NAME", default="", help=", ".join(image_tools.TOOLS))


def run(options: argparse.Namespace) -> int:
    """Carry out the command; return its exit code.

    Raises UsageError for options that do not fit, BadRules for files that cannot be read, NotReady
    when there is no tool or when an image cannot be moved (the others are, all the same).
    """
    found = needed(
        options.paths, images.read_image_changes(options.image_map, "--image-map"), options
    )
    if options.action == "list":
        _list(found, options.output)
        return errors.EXIT_PASSED
    if options.action == "pull":
        return _pull(found, options)
    return _push(found, options)


def needed(
    paths: Sequence[str], changes: dict[str, str], options: argparse.Namespace
) -> list[Image]:
    """Return the images of the files at `paths` (none: of the apps) and of the probe, by name.

    Raises UsageError for a change of an image that nothing names.
    """
    from meshproof.documents import manifest

    by: dict[str, dict[str, None]] = {}
    for document in manifest.read(paths) if paths else _apps():
        for value in _named(document):
            by.setdefault(_reference(value), {})[f"{document.kind} {document.name}"] = None
    if not by:
        raise UsageError(f"images: {', '.join(paths)}: no object there names an image")
    by.setdefault(images.PROBE_IMAGE, {})["probe"] = None
    for old in changes:
        if old not in by:
            raise UsageError(f"--image-map {old}: nothing needs that image{nearest(old, by)}")
    image = images.make_image_mapper(changes, options.image_prefix)
    return [Image(one, image(one), tuple(by[one])) for one in sorted(by)]


def _apps() -> list[Document]:
    found: list[Document] = importlib.import_module("meshproof.manifests").apps()
    return found


def _named(document: Document) -> Iterator[Value]:
    """Yield the image of each container of an object, wherever its pod template stands."""
    pending = [document.root]
    while pending:
        content = pending.pop().content
        if isinstance(content, list):
            pending += content
        elif isinstance(content, dict):
            for key in ("initContainers", "containers"):
                if key in content and isinstance(content[key].content, list):
                    for container in content[key].items():
                        yield container.need("image")
            pending += content.values()


def _reference(value: Value) -> str:
    text = value.text()
    if not _REFERENCE.fullmatch(text):
        raise value.error("the reference of an image, such as docker.io/library/python:3-alpine")
    return text


def _list(found: Sequence[Image], output: str) -> None:
    if output == "json":
        _say(json.dumps([asdict(one) for one in found], indent=1))
        return
    for name in dict.fromkeys(one.image for one in found):
        _say(name)


def _pull(found: Sequence[Image], options: argparse.Namespace) -> int:
    tool = image_tools.find_tool(options.tool)
    if tool in image_tools.COPIERS and not options.folder:
        raise UsageError(f"images pull: {tool} keeps no images on this machine: give --folder DIR")
    folder = _folder(options.folder, make=True)

    def move(image: str) -> str:
        archive = folder / _file(image) if folder else None
        image_tools.pull(tool, image, archive)
        return f"{image}{f' -> {archive}' if archive else ''}"

    return _all(list({one.image: None for one in found}), move, f"pulled with {tool}")


def _push(found: Sequence[Image], options: argparse.Namespace) -> int:
    moved = {one.official: one.image for one in found if one.image != one.official}
    if not moved:
        raise UsageError(
            "images push: nothing says where to: give --image-prefix PREFIX or --image-map "
            "IMAGE=IMAGE"
        )
    tool = image_tools.find_tool(options.tool)
    folder = _folder(options.folder, make=False)

    def move(official: str) -> str:
        archive = folder / _file(official) if folder else None
        if archive and not archive.is_file():
            raise NotReady(f"{archive} is not there: fetch it with `images pull --folder {folder}`")
        image_tools.push(tool, official, moved[official], archive)
        return f"{official} -> {moved[official]}"

    return _all(list(moved), move, f"pushed with {tool}")


def _all(names: Sequence[str], move: Callable[[str], str], what: str) -> int:
    """Move every image; one that cannot be moved does not keep the others. Raises NotReady."""
    wrong: list[str] = []
    for name in names:
        try:
            _say(move(name))
        except NotReady as error:
            wrong.append(str(error))
    if wrong:
        done = f"{len(names) - len(wrong)} of {plural(len(names), 'image')} {what}"
        raise NotReady("\n".join([f"images: {done}", *wrong]))
    _say(f"{plural(len(names), 'image')} {what}")
    return errors.EXIT_PASSED


def _folder(given: str | None, make: bool) -> Path | None:
    if not given:
        return None
    folder = Path(given)
    try:
        if make:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--folder {given}: cannot be made: {error.strerror}") from None
    if not folder.is_dir():
        raise UsageError(f"--folder {given}: no such folder")
    return folder


def _file(reference: str) -> str:
    """Return the file name of an image: its reference without what no file system takes."""
    return f"{re.sub('[/:@]', '_', reference)}.tar"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
