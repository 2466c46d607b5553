"""A stand-in for docker, podman, nerdctl, crane and skopeo: as whichever it is called by name.

Registries and the tool's own store are files under $FAKE_REGISTRIES and $FAKE_STORE; it knows the
words of each tool that `meshproof images` uses, from their reference pages, and refuses others.
An image is one layer; in an archive it is as `docker save` has it (crane compresses layers).
"""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import tarfile
from pathlib import Path
from urllib.parse import quote


def ended(message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return 1


class Images:
    """A place that keeps images: reference -> what is in it."""

    def __init__(self, variable: str) -> None:
        self.folder = Path(os.environ[variable])

    def read(self, reference: str) -> bytes:
        path = self.folder / quote(reference, safe="")
        if not path.exists():
            raise LookupError(f"Error: {reference}: not found")
        return path.read_bytes()

    def write(self, reference: str, content: bytes) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / quote(reference, safe="")).write_bytes(content)


def write_archive(file: str, reference: str, content: bytes, layer: str = "layer.tar") -> None:
    manifest = [{"RepoTags": [reference], "Layers": [layer]}]
    with tarfile.open(file, "w") as archive:
        for name, text in ((layer, content), ("manifest.json", json.dumps(manifest).encode())):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))


def read_archive(file: str) -> tuple[str, bytes]:
    with tarfile.open(file) as archive:
        (manifest,) = json.loads(read_member(archive, "manifest.json"))
        (layer,) = manifest["Layers"]
        content = read_member(archive, layer)
    return manifest["RepoTags"][0], gzip.decompress(content) if layer.endswith("gz") else content


def read_member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def store(arguments: list[str]) -> None:
    registries, local_store = Images("FAKE_REGISTRIES"), Images("FAKE_STORE")
    match arguments:
        case ["pull", image]:
            local_store.write(image, registries.read(image))
        case ["save", "-o", file, image]:
            write_archive(file, image, local_store.read(image))
        case ["load", "-i", file]:
            local_store.write(*read_archive(file))
        case ["tag", image, name]:
            local_store.write(name, local_store.read(image))
        case ["push", name]:
            registries.write(name, local_store.read(name))
        case _:
            raise LookupError(f"unknown command: {arguments}")


def crane(arguments: list[str]) -> None:
    registries = Images("FAKE_REGISTRIES")
    match arguments:
        case ["pull", image, file] | ["pull", "--platform", _, image, file]:
            write_archive(file, image, gzip.compress(registries.read(image), 1), "layer.tar.gz")
        case ["push", file, name]:
            registries.write(name, read_archive(file)[1])
        case ["copy", image, name]:
            registries.write(name, registries.read(image))
        case _:
            raise LookupError(f"unknown command: {arguments}")


def skopeo(arguments: list[str]) -> None:
    registries = Images("FAKE_REGISTRIES")
    options = [word for word in arguments if word.startswith("-")]
    verb, source, target = [word for word in arguments if word not in options]
    if verb != "copy" or set(options) - {"--all"}:
        raise LookupError(f"unknown command: {arguments}")
    kind, _, location = source.partition(":")
    if kind == "docker":
        content = registries.read(location.removeprefix("//"))
    else:
        content = read_archive(location)[1]
    kind, _, location = target.partition(":")
    if kind == "docker":
        registries.write(location.removeprefix("//"), content)
    else:
        file, _, reference = location.partition(":")
        write_archive(file, reference, content)


def put_on_path(folder: Path, name: str) -> None:
    """Write the stand-in for the tool `name` into a folder of PATH."""
    path = folder / name
    path.write_text(f"#!{sys.executable} -IS\n{Path(__file__).read_text()}")
    path.chmod(0o755)


def main() -> int:
    tool, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    try:
        {"crane": crane, "skopeo": skopeo}.get(tool, store)(arguments)
    except LookupError as error:
        return ended(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
