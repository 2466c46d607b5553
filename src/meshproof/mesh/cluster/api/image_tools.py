"""The tools that move images: docker, podman, nerdctl, crane, skopeo, whichever is on PATH.

Source: the reference pages of `docker pull|tag|push|save|load` (podman and nerdctl take the same
words), of `crane pull|push|copy`, and skopeo-copy(1).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from meshproof.base import timeouts
from meshproof.base.errors import NotReady, UsageError, suggest_nearest

Command = Sequence[str]

#: Tools that keep images in a local store, and tools that only copy.
STORES = ("docker", "podman", "nerdctl")
COPIERS = ("crane", "skopeo")
TOOLS = (*STORES, *COPIERS)


def find_tool(preferred: str = "") -> str:
    """Return the tool to use: the preferred one, else the first on PATH.

    Raises UsageError for a name that is not in `TOOLS`, NotReady when the tool is not on PATH.
    """
    if preferred and preferred not in TOOLS:
        choices = ", ".join(TOOLS)
        raise UsageError(
            f"--tool {preferred}: not one of {choices}{suggest_nearest(preferred, TOOLS)}"
        )
    for tool in [preferred] if preferred else TOOLS:
        if shutil.which(tool):
            return tool
    if preferred:
        raise NotReady(f"{preferred} is not on PATH")
    raise NotReady(f"none of {', '.join(TOOLS)} is on PATH: install one of them to move images")


def pull(tool: str, image: str, archive: Path | None, platform: str = "") -> None:
    """Pull an image into the tool's store, or into a file as `docker save` makes it.

    `platform` (`linux/arm64`) is that of this machine, where one is needed; crane alone would
    take another one by itself. Raises NotReady with the tool's output. An incomplete file is
    removed.
    """
    if archive is None:
        _run_command([tool, "pull", image])
        return
    part = archive.with_suffix(".part")
    part.unlink(missing_ok=True)
    try:
        for command in _commands_to_file(tool, image, str(part), platform):
            _run_command(command)
        part.replace(archive)
    except OSError as error:
        raise NotReady(f"{archive}: cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def push(tool: str, image: str, name: str, archive: Path | None) -> None:
    """Push an image under another name to that name's registry; read it from `archive` if given.

    Raises NotReady with the tool's output.
    """
    for command in _commands_to_registry(tool, image, name, archive):
        _run_command(command)


def _commands_to_file(tool: str, image: str, file: str, platform: str) -> Iterator[Command]:
    """Yield the commands that save an image to a file."""
    if tool == "crane":
        yield [tool, "pull", *(["--platform", platform] if platform else []), image, file]
    elif tool == "skopeo":
        yield [tool, "copy", f"docker://{image}", f"docker-archive:{file}:{image}"]
    else:
        yield [tool, "pull", image]
        yield [tool, "save", "-o", file, image]


def _commands_to_registry(
    tool: str, image: str, name: str, archive: Path | None
) -> Iterator[Command]:
    """Yield the commands that push an image as `name`."""
    if tool == "crane":
        yield [tool, "push", str(archive), name] if archive else [tool, "copy", image, name]
    elif tool == "skopeo":
        source = f"docker-archive:{archive}" if archive else f"docker://{image}"
        yield [tool, "copy", *([] if archive else ["--all"]), source, f"docker://{name}"]
    else:
        yield [tool, "load", "-i", str(archive)] if archive else [tool, "pull", image]
        yield [tool, "tag", image, name]
        yield [tool, "push", name]


def _run_command(command: Command) -> None:
    """Run one command. Raises NotReady with its output when it fails."""
    command_line = " ".join(command)
    try:
        process = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeouts.IMAGE_MOVED,
        )
    except subprocess.TimeoutExpired:
        raise NotReady(f"{command_line}: not done after {timeouts.IMAGE_MOVED:.0f} s") from None
    except OSError as error:
        raise NotReady(f"{command_line}: cannot be run: {error.strerror}") from None
    if process.returncode:
        reason = (process.stderr or process.stdout).strip() or f"exit code {process.returncode}"
        raise NotReady(f"{command_line}: {reason}")
