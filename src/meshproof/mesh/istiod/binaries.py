"""Find the programs of a control plane: istiod, kube-apiserver and etcd."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from meshproof.base.errors import NotReady, UsageError
from meshproof.mesh.istiod import versions

#: The folder where setup-envtest says that its programs are (its README; kubebuilder's book).
ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"
_HOW_TO_GET = "`source <(setup-envtest use -p env)` gets both and sets that variable"
#: Where the program of an istiod comes from.
HOW_TO_GET_ISTIOD = (
    "--mesh-istiod takes a version such as 1.29.2, or the path of a pilot-discovery; it is "
    "/usr/local/bin/pilot-discovery in the image istio/pilot of that version"
)


@dataclass(frozen=True)
class Binaries:
    """The programs of a control plane."""

    istiod: Path
    apiserver: Path
    etcd: Path


def find_binaries(istiod: str | None, image_prefix: str = "") -> Binaries:
    """Return the programs to run; `istiod` is the user's version or path of a pilot-discovery.

    The image of a version that is not on this machine yet is fetched, from `image_prefix` if given.
    Raises UsageError without an istiod, NotReady for a program that is missing or not executable.
    """
    if not istiod:
        raise UsageError(f"--mesh istiod needs an istiod: {HOW_TO_GET_ISTIOD}")
    program = None if versions.is_version(istiod) else _find_program(istiod)
    apiserver, etcd = _find_asset("kube-apiserver"), _find_asset("etcd")
    return Binaries(program or versions.get_istiod(istiod, image_prefix), apiserver, etcd)


def _find_program(istiod: str) -> Path:
    """Return the pilot-discovery at a path, or on PATH. Raises NotReady if there is none."""
    path = shutil.which(istiod) or istiod
    if not Path(path).is_file():
        raise NotReady(f"istiod not found at {istiod}: {HOW_TO_GET_ISTIOD}")
    if not os.access(path, os.X_OK):
        raise NotReady(f"istiod at {istiod} is not executable: {HOW_TO_GET_ISTIOD}")
    return Path(path)


def _find_asset(name: str) -> Path:
    """Return a program of the folder KUBEBUILDER_ASSETS, else of PATH."""
    folder = os.environ.get(ASSETS_VARIABLE)
    path = shutil.which(name, path=folder) if folder else shutil.which(name)
    if path is None:
        place = f"in {ASSETS_VARIABLE} ({folder})" if folder else f"in {ASSETS_VARIABLE} or PATH"
        raise NotReady(f"{name} not found {place}: {_HOW_TO_GET}")
    return Path(path)
