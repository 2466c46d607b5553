"""Registries on this machine with images of istiod in them, for the stand-in of an image tool."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from urllib.parse import quote

PLACE = "usr/local/bin/pilot-discovery"


def make_layer(path: Path, files: dict[str, bytes]) -> None:
    """Write a layer with some files to `path`."""
    with tarfile.open(path, "w") as layer:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            layer.addfile(member, io.BytesIO(content))


def put_image(registries: Path, reference: str, files: dict[str, bytes]) -> None:
    """Have a registry serve an image of one layer with some files."""
    registries.mkdir(exist_ok=True)
    make_layer(registries / quote(reference, safe=""), files)
