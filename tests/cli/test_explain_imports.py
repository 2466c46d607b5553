"""`explain` is quick: it reads rules and loads nothing that only a mesh needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests import ROOT

#: What starts, serves and judges a mesh: to load it took more than a third of explain's time.
OF_A_MESH = (
    *("cryptography", "psutil", "http.client", "urllib3", "pycurl", "meshproof.mesh.envoy"),
    *("meshproof.mesh.protocol", "meshproof.verdict", "meshproof.plugin"),
)
RULES = ROOT / "tests" / "user_repo" / "shop" / "k8s"


def test_explain_loads_nothing_of_a_mesh(tmp_path: Path) -> None:
    code = (
        "import sys; from meshproof.cli import main\n"
        f"assert main(['explain', {str(RULES)!r}, 'http://shop.example/shop']) == 0\n"
        f"loaded = [name for name in {OF_A_MESH} if name in sys.modules]\n"
        "sys.exit(', '.join(loaded) or 0)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
