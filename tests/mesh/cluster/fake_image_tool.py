"""A stand-in for docker, podman, nerdctl, crane and skopeo: as whichever it is called by name.

Registries and the tool's own store are files under $FAKE_REGISTRIES and $FAKE_STORE; it knows the
words of each tool that `meshproof images` uses, from their reference pages, and refuses others.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import quote


def ended(said: str) -> int:
    sys.stderr.write(f"{said}\n")
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


def store(words: list[str]) -> None:
    registries, own = Images("FAKE_REGISTRIES"), Images("FAKE_STORE")
    match words:
        case ["pull", image]:
            own.write(image, registries.read(image))
        case ["save", "-o", file, image]:
            Path(file).write_text(archived(image, own.read(image)))
        case ["load", "-i", file]:
            own.write(*Path(file).read_text().split("\n", 1))
        case ["tag", image, name]:
            own.write(name, own.read(image))
        case ["push", name]:
            registries.write(name, own.read(name))
        case _:
            raise LookupError(f"unknown command: {words}")


def crane(words: list[str]) -> None:
    registries = Images("FAKE_REGISTRIES")
    match words:
        case ["pull", image, file]:
            Path(file).write_text(archived(image, registries.read(image)))
        case ["push", file, name]:
            registries.write(name, Path(file).read_text().split("\n", 1)[1])
        case ["copy", image, name]:
            registries.write(name, registries.read(image))
        case _:
            raise LookupError(f"unknown command: {words}")


def skopeo(words: list[str]) -> None:
    registries = Images("FAKE_REGISTRIES")
    options = [word for word in words if word.startswith("-")]
    verb, source, target = [word for word in words if word not in options]
    if verb != "copy" or set(options) - {"--all"}:
        raise LookupError(f"unknown command: {words}")
    kind, _, place = source.partition(":")
    if kind == "docker":
        content = registries.read(place.removeprefix("//"))
    else:
        content = Path(place).read_text().split("\n", 1)[1]
    kind, _, place = target.partition(":")
    if kind == "docker":
        registries.write(place.removeprefix("//"), content)
    else:
        file, _, reference = place.partition(":")
        Path(file).write_text(archived(reference, content))


def main() -> int:
    tool, words = Path(sys.argv[0]).name, sys.argv[1:]
    try:
        {"crane": crane, "skopeo": skopeo}.get(tool, store)(words)
    except LookupError as error:
        return ended(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
