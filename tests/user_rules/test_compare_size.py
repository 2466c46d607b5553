"""`compare` of two folders with 20 routes each takes at most 10 s on a quiet machine."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.user_rules.shop_texts import GATEWAY

_ROUTES = 20
#: Processor seconds of all its processes, Envoys among them. Beside other work, when a processor
#: does less in a second, they were 9.7; 10 on the clock are asked for on a quiet machine.
_MAX_SECONDS = 15
_HEAD = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: shop}
spec:
  hosts: [shop.example]
  gateways: [gw]
  http:
"""


def write_rules(folder: Path, subset: str, heavier: str) -> str:
    """Write 20 routes, of which one is a split: 90 % to `heavier`; one leads to `subset`."""
    lighter = "v1" if heavier == "v2" else "v2"
    routes = [
        f'  - match: [{{uri: {{prefix: /p{number}/}}, headers: {{x-n: {{exact: "{number}"}}}}}}]\n'
        f"    route: [{{destination: {{host: cart, subset: {subset if number == 7 else 'v1'}}}}}]\n"
        for number in range(_ROUTES - 1)
    ]
    routes += [
        f"  - route:\n    - {{destination: {{host: cart, subset: {heavier}}}, weight: 90}}\n"
        f"    - {{destination: {{host: cart, subset: {lighter}}}, weight: 10}}\n"
    ]
    folder.mkdir()
    (folder / "shop.yaml").write_text(GATEWAY + _HEAD + "".join(routes))
    return str(folder)


def measure_children() -> float:
    """Return the seconds that processes of this one have used that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.local
def test_twenty_routes_on_either_side_are_compared_in_time(tmp_path: Path) -> None:
    before = write_rules(tmp_path / "before", "v1", "v1")
    after = write_rules(tmp_path / "after", "v2", "v2")
    used = measure_children()
    ended = subprocess.run(
        [sys.executable, "-m", "meshproof", "compare", before, after],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = measure_children() - used
    assert (ended.returncode, ended.stderr) == (1, "")
    requests = [line for line in ended.stdout.splitlines() if line.startswith(("~", "!"))]
    assert requests == ["~ GET shop.example/", "~ GET shop.example/p7/ x-n: 7"]
    assert seconds <= _MAX_SECONDS, ended.stdout
    sys.stdout.write(f"compare of 20 routes each: {seconds:.1f} s of processor time\n")
