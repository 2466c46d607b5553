"""When a proxy serves what was applied: read from dumps as Envoy writes them."""

from __future__ import annotations

import json

import pytest

from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.api.objects import RunObject
from meshproof.mesh.cluster.proxies.mtls import MtlsExpectation
from meshproof.mesh.cluster.proxies.proxies import Proxy
from meshproof.mesh.cluster.proxies.settling import wait_served
from tests.mesh.cluster.dumps import (
    ELSEWHERE,
    GATEWAY,
    PERMISSIVE,
    SIDECAR,
    SOURCE,
    STRICT,
    routes,
    rule,
    serve,
)

pytestmark = pytest.mark.usefixtures("short_waits")


def observe(proxies: list[Proxy], *run_objects: RunObject) -> MtlsExpectation:
    modes = MtlsExpectation.observe(None, lambda: proxies, run_objects)  # type: ignore[arg-type]
    assert modes is not None
    return modes


def test_it_is_served_once_every_proxy_shows_it_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    dumps = [routes(), routes(SOURCE), routes(SOURCE)]
    serve(monkeypatch, {"cart-1": dumps})
    served = wait_served(None, [SIDECAR], [rule()])  # type: ignore[arg-type]
    assert (served.proxies, served.requests) == (1, 0)
    assert len(served.version) == 16


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha3"])
def test_the_version_in_the_mark_of_a_rule_says_nothing(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    serve(monkeypatch, {"cart-1": [routes(SOURCE.replace("/v1/", f"/{version}/"))]})
    assert wait_served(None, [SIDECAR], [rule()]).proxies == 1  # type: ignore[arg-type]
    with pytest.raises(NotReady, match=r"cart-1\.ours still has VirtualService cart"):
        wait_served(None, [SIDECAR], [rule()], present=False)  # type: ignore[arg-type]


def test_config_that_still_changes_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    changing = [routes(SOURCE, updated=str(number)) for number in range(1000)]
    serve(monkeypatch, {"cart-1": changing})
    with pytest.raises(NotReady, match="the config of the proxies does not come to rest"):
        wait_served(None, [SIDECAR], [rule()])  # type: ignore[arg-type]


def test_a_second_look_is_had_though_one_takes_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve(monkeypatch, {"cart-1": [routes(SOURCE)]}, slow=0.05)
    assert wait_served(None, [SIDECAR], [rule()])  # type: ignore[arg-type]
    serve(monkeypatch, {"cart-1": [routes(), routes(SOURCE)]}, slow=0.05)  # late in the first look
    assert wait_served(None, [SIDECAR], [rule()])  # type: ignore[arg-type]


def test_looks_end_where_they_take_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, {"cart-1": [routes()]}, slow=0.1)
    with pytest.raises(NotReady, match=r"2 looks at 1 proxy \(up to 0\.[2-9] s each\): cart-1"):
        wait_served(None, [SIDECAR], [rule()])  # type: ignore[arg-type]
    changing = [routes(SOURCE, updated=str(number)) for number in range(1000)]
    serve(monkeypatch, {"cart-1": changing}, slow=0.1)
    with pytest.raises(NotReady, match=r"2 looks .*: the config of the proxies does not come to"):
        wait_served(None, [SIDECAR], [rule()])  # type: ignore[arg-type]


def test_a_stale_proxy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    other_proxy = Proxy("cart-2", "ours")
    serve(monkeypatch, {"cart-1": [routes(SOURCE)], "cart-2": [routes()]})
    with pytest.raises(NotReady, match=r"each\): cart-2\.ours does not have VirtualService cart$"):
        wait_served(None, [SIDECAR, other_proxy], [rule()])  # type: ignore[arg-type]


def test_what_was_deleted_must_be_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, {"cart-1": [routes(SOURCE)]})
    with pytest.raises(NotReady, match=r"cart-1\.ours still has VirtualService cart"):
        wait_served(None, [SIDECAR], [rule()], present=False)  # type: ignore[arg-type]
    serve(monkeypatch, {"cart-1": [routes()]})
    assert wait_served(None, [SIDECAR], [rule()], present=False)  # type: ignore[arg-type]


def test_a_rule_of_the_mesh_concerns_the_sidecars_of_its_namespace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve(monkeypatch, {"cart-1": [routes(SOURCE)], "gw-1": [routes()], "pay-1": [routes()]})
    assert wait_served(None, [SIDECAR, GATEWAY, ELSEWHERE], [rule()])  # type: ignore[arg-type]


def test_a_rule_of_a_gateway_concerns_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, {"cart-1": [routes()], "gw-1": [routes(SOURCE)]})
    at_gateway = rule(gateways=["ours/in"])
    assert wait_served(None, [SIDECAR, GATEWAY], [at_gateway])  # type: ignore[arg-type]
    serve(monkeypatch, {"cart-1": [routes(SOURCE)], "gw-1": [routes()]})
    with pytest.raises(NotReady, match="gw-1"):
        wait_served(None, [SIDECAR, GATEWAY], [at_gateway])  # type: ignore[arg-type]


def http_route(*names: str) -> RunObject:
    metadata = {"name": "cart", "namespace": "ours"}
    rules = [{"name": name} if name else {} for name in names]
    spec = {"parentRefs": [{"kind": "Service", "name": "cart"}], "rules": rules}
    return RunObject({"apiVersion": "v1", "kind": "HTTPRoute", "metadata": metadata, "spec": spec})


def host(domain: str, *names: str) -> str:
    """Return the routes of a virtual host; one that is called `default` is of no rule."""
    routes_body = [
        {"name": name, **({} if name == "default" else {"metadata": {}})} for name in names
    ]
    config = {"virtual_hosts": [{"domains": [domain], "routes": routes_body}]}
    return json.dumps({"configs": [{"route_config": config}]})


@pytest.mark.parametrize(
    ("rules", "route_name"),
    [
        (("",), host("cart.ours", "ours.cart.0")),
        (("new", "rest"), host("cart.ours", "new", "rest")),
        (("new", ""), host("cart.ours", "new", "ours.cart.1")),
    ],
    ids=["none", "all", "some"],
)
def test_an_http_route_is_served_once_each_rule_is_by_its_name(
    rules: tuple[str, ...], route_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = http_route(*rules)
    serve(monkeypatch, {"cart-1": [route_name]})
    assert wait_served(None, [SIDECAR], [route], run_name="ours")  # type: ignore[arg-type]
    with pytest.raises(NotReady, match=r"cart-1\.ours still has HTTPRoute cart"):
        wait_served(None, [SIDECAR], [route], present=False, run_name="ours")  # type: ignore[arg-type]
    serve(monkeypatch, {"cart-1": [host("cart.ours", "ours.other.0", "rest", "default")]})
    with pytest.raises(NotReady, match=r"cart-1\.ours does not have HTTPRoute cart"):
        wait_served(None, [SIDECAR], [route], run_name="ours")  # type: ignore[arg-type]


def test_a_rule_of_that_name_elsewhere_is_not_the_run_s(monkeypatch: pytest.MonkeyPatch) -> None:
    route = http_route("new", "default")
    serve(monkeypatch, {"cart-1": [host("cart.theirs", "new")]})
    with pytest.raises(NotReady, match="does not have HTTPRoute cart"):
        wait_served(None, [SIDECAR], [route], run_name="ours")  # type: ignore[arg-type]
    serve(monkeypatch, {"cart-1": [host("cart.ours", "default")]})
    assert wait_served(None, [SIDECAR], [route], present=False, run_name="ours")  # type: ignore[arg-type]


def test_a_policy_is_served_once_no_chain_takes_plaintext(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = rule("PeerAuthentication", mtls={"mode": "STRICT"})
    serve(monkeypatch, {"cart-1": [routes()]}, PERMISSIVE)
    modes = observe([SIDECAR], policy)
    with pytest.raises(NotReady, match=r"cart-1\.ours still takes plaintext"):
        wait_served(None, [SIDECAR], [policy], strict=modes.is_strict_during)  # type: ignore[arg-type]
    serve(monkeypatch, {"cart-1": [routes()]}, STRICT)
    assert wait_served(None, [SIDECAR], [policy], strict=modes.is_strict_during)  # type: ignore[arg-type]
    with pytest.raises(NotReady, match="still refuses plaintext"):
        wait_served(None, [SIDECAR], [policy], False, modes.is_strict_after)  # type: ignore[arg-type]


def test_where_the_mesh_itself_is_strict_plaintext_stays_refused_after_a_policy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policy = rule("PeerAuthentication", mtls={"mode": "STRICT"})
    serve(monkeypatch, {"cart-1": [routes()], "cart-2": [routes()], "pay-1": [routes()]}, STRICT)
    modes = observe([SIDECAR, ELSEWHERE], policy)
    sidecars = [SIDECAR, ELSEWHERE, Proxy("cart-2", "ours")]
    assert wait_served(None, sidecars, [policy], strict=modes.is_strict_during)  # type: ignore[arg-type]
    assert wait_served(None, sidecars, [policy], False, modes.is_strict_after)  # type: ignore[arg-type]
    serve(
        monkeypatch, {"cart-1": [routes()], "cart-2": [routes()], "pay-1": [routes()]}, PERMISSIVE
    )
    with pytest.raises(NotReady) as late:
        wait_served(None, sidecars, [policy], False, modes.is_strict_after)  # type: ignore[arg-type]
    for sidecar in sidecars:
        assert f"{sidecar} still takes plaintext" in str(late.value)


def test_a_policy_may_make_room_for_plaintext(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = rule("PeerAuthentication", mtls={"mode": "PERMISSIVE"})
    serve(monkeypatch, {"cart-1": [routes()]}, STRICT)
    modes = observe([SIDECAR], policy)
    with pytest.raises(NotReady, match="still refuses plaintext"):
        wait_served(None, [SIDECAR], [policy], strict=modes.is_strict_during)  # type: ignore[arg-type]


def test_a_sidecar_without_a_listener_is_not_served_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = rule("PeerAuthentication", mtls={"mode": "STRICT"})
    serve(monkeypatch, {"cart-1": [routes()]}, json.dumps({}))
    modes = observe([SIDECAR], policy)
    assert modes.is_strict_after(SIDECAR) is None
    with pytest.raises(NotReady, match="does not take connections yet"):
        wait_served(None, [SIDECAR], [policy], strict=modes.is_strict_during)  # type: ignore[arg-type]


def test_only_for_policies_is_it_noted_what_sidecars_take() -> None:
    assert MtlsExpectation.observe(None, lambda: [SIDECAR], [rule()]) is None  # type: ignore[arg-type]


def test_no_proxy_serves_nothing() -> None:
    with pytest.raises(NotReady, match="there is no proxy"):
        wait_served(None, [], [rule()])  # type: ignore[arg-type]
