"""What a real istiod or its Envoys refuse is told by its kind, in their words, with our place."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator

import pytest

from meshproof import rules
from meshproof.base import timeouts
from meshproof.base.errors import BadRules, NotReady
from meshproof.documents.manifest import parse
from meshproof.mesh.istiod import control_plane
from meshproof.mesh.istiod.mesh import IstiodMesh
from meshproof.mesh.protocol import Options
from meshproof.rules.model import RuleSet

pytestmark = pytest.mark.istiod

RULE = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: way-in}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: ["*"]
  gateways: [way-in]
  http:
  - name: first
    headers:
      request:
        set: {x-who: "VALUE"}
    route: [{destination: {host: shop}}]
"""


def read_rule(value: str) -> RuleSet:
    return rules.read_rules(parse(RULE.replace("VALUE", value), "shop.yaml"))


@pytest.fixture
def mesh(pilot_discovery: str) -> Iterator[IstiodMesh]:
    """A mesh with an ingress and nothing else."""
    with IstiodMesh.opened(Options(istiod=pilot_discovery)) as mesh:
        mesh.deploy([])
        yield mesh


def test_what_an_envoy_rejects_is_told_in_its_words_and_the_former_rules_are_served(
    mesh: IstiodMesh,
) -> None:
    with (
        pytest.raises(
            BadRules,
            match=r"^shop.yaml:15: Envoy of istio-ingressgateway rejected the config of istiod: "
            r".*WHO_ARE_YOU",
        ),
        mesh.applied(read_rule("%WHO_ARE_YOU%")),
    ):
        pytest.fail("rules that Envoy rejects are served")
    with mesh.applied(read_rule("me")) as served:
        assert served.proxies == 1


def test_a_rejection_that_istiod_hears_of_after_the_routes_are_there_is_told(
    mesh: IstiodMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What istiod said is old by the time it arrives: the push came and was rejected since."""
    read_debug = mesh._control_plane.read_debug

    def read_slowly(path: str) -> str:
        text = read_debug(path)
        time.sleep(1 if path == "/debug/syncz" else 0)
        return text

    monkeypatch.setattr(mesh._control_plane, "read_debug", read_slowly)
    with (
        pytest.raises(BadRules, match=r"^shop.yaml:15: .*WHO_ARE_YOU"),
        mesh.applied(read_rule("%WHO_ARE_YOU%")),
    ):
        pytest.fail("rules that Envoy rejects are served")


def test_a_rejection_of_which_istiod_knows_nothing_is_told_once_it_does(
    mesh: IstiodMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """istiod has not noted yet that it has sent a push: all that it knows is acknowledged."""
    read_debug = mesh._control_plane.read_debug
    noted = mesh._serving._rejections
    former = dict(noted)

    def forget_what_was_sent(path: str) -> str:
        text = read_debug(path)
        if path != "/debug/syncz" or noted != former:
            return text
        statuses = json.loads(text)
        for status in statuses:
            status.pop("resources", None)
            status |= {
                f"{kind}_acked": status[f"{kind}_sent"]
                for kind in ("cluster", "endpoint", "listener", "route")
                if f"{kind}_sent" in status
            }
        return json.dumps(statuses)

    monkeypatch.setattr(mesh._control_plane, "read_debug", forget_what_was_sent)
    with (
        pytest.raises(BadRules, match=r"^shop.yaml:15: .*WHO_ARE_YOU"),
        mesh.applied(read_rule("%WHO_ARE_YOU%")),
    ):
        pytest.fail("rules that Envoy rejects are served")


def test_a_proxy_that_takes_no_push_is_stale_by_name(
    mesh: IstiodMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "CONFIG_SERVED", 2.0)
    monkeypatch.setattr(timeouts, "OWN_ADMIN", 0.5)
    stopped = mesh._ingress.proxy.process.pid
    os.kill(stopped, signal.SIGSTOP)
    try:
        with (
            pytest.raises(
                NotReady,
                match=r"not served \(stale config\) after 2 s: istio-ingressgateway"
                r"( has not acknowledged: .*route|: its admin interface does not answer)",
            ),
            mesh.applied(read_rule("me")),
        ):
            pytest.fail("a proxy that stands still serves rules")
    finally:
        os.kill(stopped, signal.SIGCONT)


def test_a_filter_that_only_istio_has_is_named_with_what_to_set(
    pilot_discovery: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(control_plane._ENVIRONMENT, "PILOT_ENABLE_METADATA_EXCHANGE", "true")
    with (
        IstiodMesh.opened(Options(istiod=pilot_discovery)) as mesh,
        pytest.raises(
            NotReady,
            match=r"^Envoy of istio-ingressgateway has no filter \S+metadata\S*, which is Istio's "
            r"own: set PILOT_ENABLE_METADATA_EXCHANGE=false on that istiod, or .* --mesh-envoy",
        ),
    ):
        mesh.deploy([])
