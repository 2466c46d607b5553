"""Find the programs of a control plane: istiod, kube-apiserver and etcd."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from meshproof.base.errors import NotReady, UsageError

#: The folder where setup-envtest says that its programs are (its README; kubebuilder's book).
ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"
_HOW_TO_GET = (
    "get both with `setup-envtest use -p env` and set the variable that it prints, "
    f"{ASSETS_VARIABLE}, or have them on PATH"
)
#: Where the program of an istiod comes from.
HOW_TO_GET_ISTIOD = (
    "name a pilot-discovery with --mesh-istiod; it is /usr/local/bin/pilot-discovery in the image "
    "istio/pilot of any version"
)


@dataclass(frozen=True)
class Binaries:
    """The programs of a control plane."""

    istiod: Path
    apiserver: Path
    etcd: Path


def find_binaries(istiod: str | None) -> Binaries:
    """Return the programs to run; `istiod` is the user's path of a pilot-discovery.

    Raises UsageError without that path, NotReady for a program that is missing or not executable.
    """
    if not istiod:
        raise UsageError(f"--mesh istiod needs an istiod: {HOW_TO_GET_ISTIOD}")
    path = shutil.which(istiod) or istiod
    if not Path(path).is_file():
        raise NotReady(f"istiod not found at {istiod}: {HOW_TO_GET_ISTIOD}")
    if not os.access(path, os.X_OK):
        raise NotReady(f"istiod at {istiod} is not executable: {HOW_TO_GET_ISTIOD}")
    return Binaries(Path(path), _find_asset("kube-apiserver"), _find_asset("etcd"))


def _find_asset(name: str) -> Path:
    """Return a program of the folder KUBEBUILDER_ASSETS, else of PATH."""
    folder = os.environ.get(ASSETS_VARIABLE)
    path = shutil.which(name, path=folder) if folder else shutil.which(name)
    if path is None:
        place = f"in {ASSETS_VARIABLE} ({folder})" if folder else "on PATH"
        raise NotReady(f"{name} not found {place}: {_HOW_TO_GET}")
    return Path(path)
