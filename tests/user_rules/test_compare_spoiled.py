"""`compare` finds, or names, each place in which our own rule sets are spoiled, and nothing else.

`python -m tests.bench.spoiled FOLDER...` does the same to rule sets of others.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from meshproof.cli import main
from tests.bench.spoiled import compare, compare_spoiled, list_folder_places

_FILES = sorted(Path(__file__).parent.glob("*.yaml"))
#: For each rule set, drawn at random, the same in each run.
_PLACES = 3


@pytest.mark.parametrize("file", _FILES, ids=lambda file: file.stem)
def test_each_spoiled_place_is_found_or_named(tmp_path: Path, file: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    shutil.copy(file, folder)
    unspoiled = compare(folder, folder)
    assert (unspoiled.code in (0, 3), unspoiled.changes) == (True, ())
    places = list_folder_places(folder)
    assert places
    for place in random.Random(1).sample(places, min(_PLACES, len(places))):
        verdict = compare_spoiled(folder, place, tmp_path)
        assert verdict.describe(place) in ("found", "named"), (place, verdict)


def test_a_host_that_no_route_of_a_gateway_has_is_answered_404(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = Path(tmp_path, "shop.yaml")
    rules.write_text(
        """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [shop.example]
  gateways: [gw]
  http:
  - route: [{destination: {host: web}}]
"""
    )
    assert main(["explain", str(rules), "http://other.example/", "-o", "json"]) == 0
    assert "404" in capsys.readouterr().out
