"""A stand-in for docker, podman, nerdctl, crane and skopeo: as whichever it is called by name.

Registries and the tool's own store are files under $FAKE_REGISTRIES and $FAKE_STORE; it knows the
words of each tool that `meshproof images` uses, from their reference pages, and refuses others.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import quote


def ended(message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return 1


class Images:
    """A place that keeps images: reference -> what is in it."""

    def __init__(self, variable: str) -> None:
        self.folder = Path(os.environ[variable])

    def read(self, reference: str) -> str:
        path = self.folder / quote(reference, safe="")
        if not path.exists():
            raise LookupError(f"Error: {reference}: not found")
        return path.read_text()

    def write(self, reference: str, content: str) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / quote(reference, safe="")).write_text(content)


def archived(reference: str, content: str) -> str:
    return f"{reference}\n{content}"


def store(arguments: list[str]) -> None:
    registries, local_store = Images("FAKE_REGISTRIES"), Images("FAKE_STORE")
    match arguments:
        case ["pull", image]:
            local_store.write(image, registries.read(image))
        case ["save", "-o", file, image]:
            Path(file).write_text(archived(image, local_store.read(image)))
        case ["load", "-i", file]:
            local_store.write(*Path(file).read_text().split("\n", 1))
        case ["tag", image, name]:
            local_store.write(name, local_store.read(image))
        case ["push", name]:
            registries.write(name, local_store.read(name))
        case _:
            raise LookupError(f"unknown command: {arguments}")


def crane(arguments: list[str]) -> None:
    registries = Images("FAKE_REGISTRIES")
    match arguments:
        case ["pull", image, file]:
            Path(file).write_text(archived(image, registries.read(image)))
        case ["push", file, name]:
            registries.write(name, Path(file).read_text().split("\n", 1)[1])
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
        content = Path(location).read_text().split("\n", 1)[1]
    kind, _, location = target.partition(":")
    if kind == "docker":
        registries.write(location.removeprefix("//"), content)
    else:
        file, _, reference = location.partition(":")
        Path(file).write_text(archived(reference, content))


def main() -> int:
    tool, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    try:
        {"crane": crane, "skopeo": skopeo}.get(tool, store)(arguments)
    except LookupError as error:
        return ended(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
