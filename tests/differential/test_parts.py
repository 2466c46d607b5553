"""The parts of the comparison that need no mesh."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from meshproof.mesh.http import HttpRequest, HttpResponse
from meshproof.oracle.derive import Call
from meshproof.verdict.two_samples import compute_chance, differs
from tests.differential import asking, generator, planting, run, splits
from tests.differential.asking import ALPHA, Answer
from tests.differential.comparing import Comparison, read_set, write_objects
from tests.differential.coverage import (
    LEFT_OUT,
    FieldTrials,
    find_reason,
    iter_leaves,
    list_fields,
    take_away,
)
from tests.differential.field_examples import FIELD_EXAMPLES
from tests.differential.generator import GeneratedSet, make_object
from tests.differential.misreadings import MISREADINGS
from tests.differential.planting import PlantedSet
from tests.differential.reducing import reduce
from tests.differential.run import find_explanation, visit_sets


@pytest.mark.parametrize(
    ("counts", "chance"),
    [
        ((3, 3, 0, 3), 0.1),
        ((1, 10, 9, 10), 202 / 184756),
        ((5, 10, 5, 10), 1.0),
        ((0, 4, 0, 4), 1.0),
    ],
)
def test_the_chance_is_that_of_fishers_exact_test(
    counts: tuple[int, int, int, int], chance: float
) -> None:
    assert compute_chance(*counts) == pytest.approx(chance, rel=1e-9)


def test_a_certain_difference_is_told_from_chance_but_not_at_once() -> None:
    first, second = Answer((("status", "200"),)), Answer((("status", "404"),))
    assert not differs(Counter({first: 3}), Counter({second: 3}), ALPHA)
    assert differs(Counter({first: 228}), Counter({second: 228}), ALPHA)
    assert not differs(
        Counter({first: 120, second: 108}), Counter({first: 108, second: 120}), ALPHA
    )


def test_a_proxy_that_does_not_listen_knows_a_host_as_little_as_one_that_refuses_it() -> None:
    # Found by seed 77002, set 41: a Sidecar that imports no service of the port.
    def read(status: int, body: bytes = b"") -> Answer:
        return asking._read_answer(HttpResponse(HttpRequest("/"), status, {}, body), (), False)

    assert read(502) == read(599)
    assert read(502) != read(503)
    assert read(502) != read(502, b"upstream reset")


def list_routes(*routes: dict[str, Any]) -> dict[str, Any]:
    """Return a virtual host."""
    return {"routes": list(routes)}


def split(*weights: int, match: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a route with weighted clusters a, b and so on."""
    names = "abc"[: len(weights)]
    clusters = [
        {"name": name, "weight": weight} for name, weight in zip(names, weights, strict=True)
    ]
    action = {"weighted_clusters": {"clusters": clusters}}
    return {"match": match or {"prefix": "/x"}, "route": action}


def test_splits_are_compared_as_shares_up_to_the_route_that_takes_all() -> None:
    everything = split(1, 1, match={"prefix": "/"})
    shares = list(splits._iter_splits(list_routes(split(30, 10), everything, split(9, 1))))
    assert shares == [(("a", 750_000), ("b", 250_000)), (("a", 500_000), ("b", 500_000))]


def test_all_for_one_cluster_is_no_split() -> None:
    assert not list(splits._iter_splits(list_routes(split(100, 0), split(7))))


def test_the_wildcard_of_a_rule_is_no_service() -> None:
    assert splits._has_no_service({"name": "*.shop.svc.cluster.local:8080"})
    assert not splits._has_no_service({"name": "*.example:80"})
    assert not splits._has_no_service({"name": "cart.shop.svc.cluster.local:80"})


def test_a_set_is_reduced_to_what_shows_the_difference() -> None:
    routes = [{"match": [{"uri": {"prefix": "/a"}}, {"port": 80}], "timeout": "2s"}, {"name": "b"}]
    rule = make_object("VirtualService", "shop", "a-rule", {"hosts": ["cart"], "http": routes})
    other = make_object("Gateway", "shop", "b-rule", {"servers": []})
    call = Call("cart", path="/a", headers=(("x-a", "1"),))

    def shows(generated: GeneratedSet) -> bool:
        text = write_objects(generated.objects)
        return "timeout: 2s" in text and generated.calls[0].path == "/a"

    smaller = reduce(GeneratedSet((rule, other), (call,)), shows, 100)
    assert [body["spec"] for body in smaller.objects] == [
        {"hosts": ["cart"], "http": [{"timeout": "2s"}]}
    ]
    assert smaller.calls == (replace(call, headers=()),)


def test_a_field_is_taken_away_with_the_mapping_that_would_be_empty() -> None:
    match = {"uri": {"prefix": "/a"}, "headers": {"x-user": {"exact": "ann"}}}
    routes = [{"match": [match], "redirect": {"uri": "/b"}}]
    rule = make_object("VirtualService", "shop", "a-rule", {"hosts": ["cart"], "http": routes})
    leaves = dict(iter_leaves([rule]))
    path = leaves["VirtualService.http.match.headers.exact"]
    (smaller,) = take_away([rule], path)
    assert smaller["spec"]["http"][0]["match"] == [{"uri": {"prefix": "/a"}}]


def test_every_field_of_http_routing_is_tried_or_left_out_with_a_reason() -> None:
    fields = list_fields()
    assert "VirtualService.http.match.uri.prefix" in fields
    assert "VirtualService.http.route.headers.request.set" in fields
    assert not [field for field in fields if find_reason(field)]
    assert all(LEFT_OUT.values())


def test_the_examples_have_every_field_and_are_read() -> None:
    fields = {name for made in FIELD_EXAMPLES for name, _ in iter_leaves(list(made.objects))}
    assert not set(list_fields()) - fields
    assert all(read_set(made) is not None for made in FIELD_EXAMPLES)


def test_a_field_that_an_object_needs_goes_with_it() -> None:
    tried: list[int] = []

    def changes_answer(_: GeneratedSet, smaller: GeneratedSet) -> bool | None:
        tried.append(len(smaller.objects))
        return None if smaller.objects else True

    rule = make_object("DestinationRule", "shop", "a-rule", {"host": "cart"})
    trials = FieldTrials(changes_answer)
    trials.try_all(GeneratedSet((rule,), ()))
    assert tried == [1, 0]
    assert trials.proven["DestinationRule.host"]


def list_sets(count: int) -> list[GeneratedSet]:
    """Return some generated sets."""
    sets: list[GeneratedSet] = []

    def visit(generated: GeneratedSet) -> bool:
        sets.append(generated)
        return True

    visit_sets(count, 7, visit)
    return sets


def test_a_seed_gives_the_same_sets_again() -> None:
    assert list_sets(8) == list_sets(8)


def test_the_sets_have_nearly_every_field() -> None:
    tried = {name for sets in list_sets(150) for name, _ in iter_leaves(list(sets.objects))}
    missing = set(list_fields()) - tried
    assert len(missing) < 0.1 * len(list_fields()), missing


def test_the_sets_have_rules_of_every_kind_that_is_compared() -> None:
    kinds = Counter(body["kind"] for made in list_sets(150) for body in made.objects)
    rare = ("HTTPRoute", "GRPCRoute", "PeerAuthentication", "ServiceEntry", "Sidecar")
    assert kinds.keys() == {*rare, "DestinationRule", "Gateway", "VirtualService"}
    assert all(kinds[kind] >= 5 for kind in rare), kinds


def test_the_sets_have_servers_where_tls_ends_and_calls_to_them() -> None:
    sets = list_sets(150)
    servers = [
        server
        for made in sets
        for body in made.objects
        if body["kind"] == "Gateway" and "servers" in body["spec"]
        for server in body["spec"]["servers"]
    ]
    modes = Counter(server.get("tls", {}).get("mode") for server in servers)
    assert modes.keys() == {None, "SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"}
    assert sum(call.tls is not None for made in sets for call in made.calls) >= 20


def test_a_run_names_the_kinds_that_no_set_has() -> None:
    assert f"  Ingress: {generator.KINDS_LEFT_OUT['Ingress']}" in run.Report().describe()


def test_fields_that_were_tried_least_are_taken_away_first() -> None:
    tried: list[str] = []

    def changes_answer(generated: GeneratedSet, smaller: GeneratedSet) -> bool:
        before = dict(iter_leaves(list(generated.objects)))
        tried.extend(before.keys() - dict(iter_leaves(list(smaller.objects))).keys())
        return False

    trials = FieldTrials(changes_answer)
    redirect = {"uri": "/b", "authority": "a", "scheme": "http", "port": 1, "redirectCode": 302}
    routes = [{"redirect": redirect, "timeout": "1s"}]
    rule = make_object("VirtualService", "shop", "a-rule", {"hosts": ["cart"], "http": routes})
    trials.try_set(GeneratedSet((rule,), ()))
    trials.try_set(GeneratedSet((rule,), ()))
    assert {"VirtualService.http.timeout", "VirtualService.http.redirect.redirectCode"} <= {*tried}


def test_an_unknown_kind_of_difference_has_no_explanation() -> None:
    assert find_explanation("answer: status") is None
    assert find_explanation("refused by local alone: no request follows from the rules: _")


@pytest.fixture(scope="module")
def planted_sets() -> list[PlantedSet]:
    """Sets whose routes, without a misreading, are translated once."""
    return planting.list_sets(200, 1)


@pytest.mark.parametrize("name", MISREADINGS)
def test_every_misreading_changes_the_routes_of_some_sets(
    planted_sets: list[PlantedSet], name: str
) -> None:
    plant = MISREADINGS[name]
    assert any(planted.is_changed_by(plant) for planted in planted_sets)


def test_no_set_is_generated_once_there_are_enough() -> None:
    sets: list[GeneratedSet] = []

    def visit(generated: GeneratedSet) -> bool:
        sets.append(generated)
        return len(sets) < 3

    visit_sets(100_000, 7, visit)  # all of them would take hours
    assert len(sets) == 3


def test_a_run_that_is_broken_off_is_recorded_as_far_as_it_came(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    comparisons = iter([Comparison(is_served=True), Comparison(refused="no")])

    @contextlib.contextmanager
    def open_pair(*_: str) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(title="both", sides=(), istiod=SimpleNamespace(version="1.31"))

    def compare_set(*_: object) -> Comparison:
        try:
            return next(comparisons)
        except StopIteration:
            raise KeyboardInterrupt from None

    comparer = SimpleNamespace(requests=7, close=lambda: None)
    monkeypatch.setattr(run, "open_pair", open_pair)
    monkeypatch.setattr(run, "Comparer", lambda _: comparer)
    monkeypatch.setattr(run, "compare_set", compare_set)
    record = tmp_path / "record.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run.run(run.Options("istiod", record=str(record)), lambda _: None)
    (line,) = record.read_text().splitlines()
    figures = json.loads(line)
    assert (figures["sets"], figures["served"], figures["requests"]) == (2, 1, 7)
