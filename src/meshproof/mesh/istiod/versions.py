"""istiods of released versions, taken out of the image istio/pilot and kept on this machine.

Sources: docker-save(1) and the OCI image spec, "Image Layer Filesystem Changeset" (order of layers,
whiteouts); the XDG Base Directory Specification (where a cache is).
"""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import IO

from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.api import image_tools
from meshproof.mesh.cluster.api.images import make_image_mapper
from meshproof.options.table import ISTIO_VERSION

_PROGRAM = "pilot-discovery"
#: Where the image has the program (Istio's pilot/docker/Dockerfile.pilot).
_PLACE = f"usr/local/bin/{_PROGRAM}"
_WHITEOUT = f"usr/local/bin/.wh.{_PROGRAM}"
#: Kubernetes' and the image tools' name of a machine -> Python's names.
_ARCHITECTURES = {"amd64": ("x86_64", "amd64"), "arm64": ("aarch64", "arm64")}


def is_version(text: str) -> bool:
    """Say whether `text` names a version of Istio, and no program."""
    return bool(re.fullmatch(ISTIO_VERSION, text))


def find_kept(version: str) -> Path | None:
    """Return the istiod of a version that is on this machine, None if it is not."""
    path = _get_folder() / version / _PROGRAM
    return path if path.is_file() else None


def list_kept() -> list[str]:
    """Return the versions whose istiod is on this machine."""
    return sorted(path.parent.name for path in _get_folder().glob(f"*/{_PROGRAM}"))


def get_istiod(version: str, image_prefix: str = "", tool: str = "") -> Path:
    """Return the istiod of a version; fetch its image unless it is on this machine already.

    The image comes from docker.io, or from `image_prefix`, by `tool` or the first one that there
    is. Raises NotReady if it cannot be fetched, and UsageError for an unknown tool.
    """
    kept = find_kept(version)
    if kept:
        return kept
    image = make_image_mapper({}, image_prefix)(f"docker.io/istio/pilot:{version}")
    folder = _get_folder() / version
    try:
        chosen_tool = image_tools.find_tool(tool)
        with tempfile.TemporaryDirectory(prefix="meshproof-image-") as name:
            archive = Path(name) / "image.tar"
            image_tools.pull(chosen_tool, image, archive, _find_platform())
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return _extract(archive, image, folder / _PROGRAM)
    except OSError as error:
        raise NotReady(f"istiod {version}: {folder} cannot be written: {error.strerror}") from None
    except NotReady as error:
        raise NotReady(f"istiod {version}: {error}") from None


def _get_folder() -> Path:
    """Return the folder of all istiods."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "meshproof" / "istiod"


def _find_platform() -> str:
    """Return the platform of this machine as image tools name it."""
    machine = platform.machine().lower()
    for architecture, names in _ARCHITECTURES.items():
        if machine in names:
            return f"linux/{architecture}"
    raise NotReady(f"there is no image of istiod for the processor of this machine, {machine}")


def _extract(archive: Path, image: str, target: Path) -> Path:
    """Write the program in an image's archive to `target`, whole or not at all; return it."""
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        with tarfile.open(archive) as content, draft.open("xb") as file:
            draft.chmod(0o700)
            if not _copy_program(content, file):
                raise NotReady(f"{image} has no /{_PLACE}: it is no image of istiod")
        draft.replace(target)
    except (tarfile.TarError, ValueError, KeyError, TypeError, EOFError) as error:
        raise NotReady(f"{image}: its archive cannot be read: {error}") from None
    finally:
        draft.unlink(missing_ok=True)
    return target


def _copy_program(archive: tarfile.TarFile, target: IO[bytes]) -> bool:
    """Copy the program from the last layer that says something of it; False if it is not there."""
    (manifest,) = json.load(_open_member(archive, "manifest.json"))
    for name in reversed(manifest["Layers"]):
        with tarfile.open(fileobj=_open_member(archive, name)) as layer:
            members = {member.name.lstrip("./"): member for member in layer if member.isfile()}
            if _PLACE in members:
                shutil.copyfileobj(_open_member(layer, members[_PLACE]), target)
                return True
            if _WHITEOUT in members:
                return False
    return False


def _open_member(archive: tarfile.TarFile, member: str | tarfile.TarInfo) -> IO[bytes]:
    """Return a file of an archive, to be read. Raises KeyError if it is not there."""
    file = archive.extractfile(member)
    if file is None:
        raise KeyError(f"{member} is no file")
    return file
