"""Renews the certificates of a mesh that was left running, before they end.

An Envoy reads a certificate again only where its config names another file. So the new ones lie in
a folder of their own, which then takes the old one's place in the configs. All have the same CA:
the proxies need not change at the same moment.
"""

from __future__ import annotations

import datetime
import json
import re
import secrets
import shutil
from pathlib import Path

from meshproof.base.errors import NotReady
from meshproof.mesh.envoy.certificates import LIFETIME, Authority, read_end
from meshproof.mesh.envoy.envoy import name_version
from meshproof.mesh.process.processes import write_atomically

#: The folder of the certificates; those that were renewed have a number behind it.
FOLDER = "certificates"


def renew_certificates(run: Path, now: datetime.datetime) -> datetime.datetime | None:
    """Renew the certificates of a run if `now` is in the last third of their life.

    Returns when they end, None where the run has none. The new ones hold from this machine's time
    on. Raises NotReady if they cannot be written.
    """
    current = _find_current(run)
    if current is None:
        return None
    end = read_end(current)
    if end is not None and end - now < LIFETIME / 3:
        current = _sign_anew(run, current)
    _serve(run, current)
    return read_end(current)


def _find_current(run: Path) -> Path | None:
    """Return the newest folder with certificates and the key of their CA, or None."""
    folders = [folder for folder in run.glob(f"{FOLDER}*") if (folder / "ca.key").exists()]
    return max(folders, key=_get_number, default=None)


def _get_number(folder: Path) -> int:
    """Return how often the certificates in a folder were renewed."""
    return int(folder.name.removeprefix(FOLDER).removeprefix(".") or 0)


def _sign_anew(run: Path, current: Path) -> Path:
    """Return the folder of the new certificates; it is there whole or not at all.

    Raises NotReady if it cannot be written.
    """
    draft = run / f"new-{FOLDER}-{secrets.token_hex(4)}"
    renewed = run / f"{FOLDER}.{_get_number(current) + 1}"
    try:
        Authority(draft).renew(current)
        draft.rename(renewed)
    except OSError as error:
        if not renewed.exists():  # another command may have renewed them just now
            raise NotReady(f"{renewed}: cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return renewed


def _serve(run: Path, current: Path) -> None:
    """Name the folder of certificates in each config that names an older one."""
    former = re.compile(re.escape(f"{run}/{FOLDER}") + r"(\.\d+)?/")
    for path in [*run.glob("*/lds.json"), *run.glob("*/cds.json")]:
        old_text = path.read_text(encoding="utf-8")
        text = former.sub(lambda _: f"{current}/", old_text)
        if text != old_text:
            resources = json.loads(text)["resources"]
            config = {"version_info": name_version(resources), "resources": resources}
            write_atomically(path, json.dumps(config))
