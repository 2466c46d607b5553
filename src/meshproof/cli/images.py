"""`meshproof images`: lists, pulls and mirrors the images that a run on a cluster needs."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from meshproof.base import errors
from meshproof.base.errors import NotReady, UsageError, pluralize, suggest_nearest
from meshproof.base.files import name_file
from meshproof.base.output import print_json, print_line
from meshproof.mesh.cluster.api import image_tools, images
from meshproof.options import command_line, sources

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
    """A needed image: its name in manifests, its name when pulled, the objects that use it."""

    official: str
    image: str
    needed_by: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    actions = parser.add_subparsers(
        dest="action", metavar="ACTION", required=True, parser_class=type(parser)
    )
    for name, summary in _ACTIONS.items():
        action = actions.add_parser(name, help=summary)
        add = action.add_argument
        add("paths", nargs="*", metavar="PATH", help="your own Kubernetes files, not the apps")
        command_line.add_options(action, "images")
        if name == "list":
            add("-o", "--output", choices=["text", "json"], default="text", help="default: text")
            continue
        add("--folder", metavar="DIR", help="where images are kept as files, to be carried")
        add("--tool", metavar="NAME", default="", help=", ".join(image_tools.TOOLS))


def run(options: argparse.Namespace) -> int:
    """List, pull or push the images that the apps or the files need; return the exit code.

    Raises UsageError for options that do not fit, BadRules for files that cannot be read, NotReady
    when there is no tool or when an image cannot be moved (the others are, all the same).
    """
    sources.fill_in("images", options)
    changes = images.read_image_changes(options.image_map, "--image-map")
    needed_images = find_needed_images(options.paths, changes, options)
    if options.action == "list":
        _print_images(needed_images, options.output)
        return errors.EXIT_PASSED
    if options.action == "pull":
        return _pull_images(needed_images, options)
    return _push_images(needed_images, options)


def find_needed_images(
    paths: Sequence[str], changes: dict[str, str], options: argparse.Namespace
) -> list[Image]:
    """Return the images of the files at `paths` (default: of the apps) and of the probe, sorted.

    Raises UsageError when `changes` of the command line have an image that nothing uses.
    """
    from meshproof.documents import manifest

    users_by_image: dict[str, dict[str, None]] = {}
    for document in manifest.read(paths) if paths else _read_apps():
        for value in _find_image_values(document):
            users_by_image.setdefault(_read_reference(value), {})[
                f"{document.kind} {document.name}"
            ] = None
    if not users_by_image:
        raise UsageError(f"images: {', '.join(paths)}: no object there names an image")
    users_by_image.setdefault(images.PROBE_IMAGE, {})["probe"] = None
    # A map of the project's file is for all commands: some images may be needed elsewhere.
    is_for_this_call = options.labels.get("image-map", "").startswith("--")
    for official in changes:
        if is_for_this_call and official not in users_by_image:
            raise UsageError(
                f"--image-map {official}: nothing needs that image"
                f"{suggest_nearest(official, users_by_image)}"
            )
    map_image = images.make_image_mapper(changes, options.image_prefix or "")
    return [
        Image(official, map_image(official), tuple(users_by_image[official]))
        for official in sorted(users_by_image)
    ]


def _read_apps() -> list[Document]:
    """Return the objects of the demo apps."""
    documents: list[Document] = importlib.import_module("meshproof.manifests").apps()
    return documents


def _find_image_values(document: Document) -> Iterator[Value]:
    """Yield the image of each container of an object, at any depth."""
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


def _read_reference(value: Value) -> str:
    """Return the image reference in `value`. Raises BadRules when it is none."""
    text = value.text()
    if not _REFERENCE.fullmatch(text):
        raise value.error("the reference of an image, such as docker.io/library/python:3-alpine")
    return text


def _print_images(needed_images: Sequence[Image], output: str) -> None:
    """Print the names under which the images are pulled, or all of it as JSON."""
    if output == "json":
        print_json([asdict(image) for image in needed_images])
        return
    for name in dict.fromkeys(image.image for image in needed_images):
        print_line(name)


def _pull_images(needed_images: Sequence[Image], options: argparse.Namespace) -> int:
    """Pull every image, with --folder into files; return the exit code."""
    tool = image_tools.find_tool(options.tool)
    if tool in image_tools.COPIERS and not options.folder:
        raise UsageError(f"images pull: {tool} keeps no images on this machine: give --folder DIR")
    folder = _open_folder(options.folder, create=True)

    def pull_image(image: str) -> str:
        archive = folder / _build_archive_name(image) if folder else None
        image_tools.pull(tool, image, archive)
        return f"{image}{f' -> {archive}' if archive else ''}"

    return _move_images(
        list({image.image: None for image in needed_images}), pull_image, f"pulled with {tool}"
    )


def _push_images(needed_images: Sequence[Image], options: argparse.Namespace) -> int:
    """Push every image whose name changes to the mirror; return the exit code."""
    targets = {
        image.official: image.image for image in needed_images if image.image != image.official
    }
    if not targets:
        raise UsageError(
            "images push: nothing says where to: give --image-prefix PREFIX or --image-map "
            "IMAGE=IMAGE"
        )
    tool = image_tools.find_tool(options.tool)
    folder = _open_folder(options.folder, create=False)

    def push_image(official: str) -> str:
        archive = folder / _build_archive_name(official) if folder else None
        if archive and not archive.is_file():
            raise NotReady(f"{archive} is not there: fetch it with `images pull --folder {folder}`")
        image_tools.push(tool, official, targets[official], archive)
        return f"{official} -> {targets[official]}"

    return _move_images(list(targets), push_image, f"pushed with {tool}")


def _move_images(names: Sequence[str], move: Callable[[str], str], action: str) -> int:
    """Move every image, also after a failure. Raises NotReady at the end if any failed."""
    failures: list[str] = []
    for name in names:
        try:
            print_line(move(name))
        except NotReady as error:
            failures.append(str(error))
    if failures:
        summary = f"{len(names) - len(failures)} of {pluralize(len(names), 'image')} {action}"
        raise NotReady("\n".join([f"images: {summary}", *failures]))
    print_line(f"{pluralize(len(names), 'image')} {action}")
    return errors.EXIT_PASSED


def _open_folder(path: str | None, create: bool) -> Path | None:
    """Return the folder at `path`, made when `create`; None without a path."""
    if not path:
        return None
    folder = Path(path)
    try:
        if create:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--folder {path}: cannot be made: {error.strerror}") from None
    if not folder.is_dir():
        raise UsageError(f"--folder {path}: no such folder")
    return folder


def _build_archive_name(reference: str) -> str:
    """Return the archive's file name: the image reference without `/`, `:` and `@`."""
    return f"{name_file(re.sub('[/:@]', '_', reference))}.tar"
