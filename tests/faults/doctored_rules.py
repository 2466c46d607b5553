"""Faults in the rules: what is served differs from what is written, or what is written is wrong."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from meshproof.base.names import sort_labels
from meshproof.documents.manifest import Document, parse, read
from meshproof.mesh.envoy import translate
from meshproof.mesh.envoy.envoy import Resource
from meshproof.mesh.local.mesh import LocalMesh
from meshproof.mesh.protocol import Served
from meshproof.rules.model import Route, RouteTable, RuleSet, Target
from tests.faults.doctored_manifests import MANIFESTS, READS_REVIEWS
from tests.faults.planting import fault

_HERE = Path(__file__).parent / "rules"

BURR_MOVED = ("cookie user=burr", "cookie among others")
ORDERS = "-k=split_half or rotation"


def doctor_rules(patch: pytest.MonkeyPatch, doctor: Callable[[RuleSet], RuleSet]) -> None:
    """Serve what `doctor` makes of the rules in the place of them."""
    applied = LocalMesh.applied

    def apply(mesh: LocalMesh, rules: RuleSet) -> AbstractContextManager[Served]:
        return applied(mesh, doctor(rules))

    patch.setattr(LocalMesh, "applied", apply)


def change_weights(folder: str, **weights: int) -> Callable[[RuleSet], RuleSet]:
    """Return what gives the rules of a folder other weights, by version."""

    def reweight(route: Route) -> Route:
        if Path(route.at.file).parent.name != folder:
            return route
        targets = (
            replace(
                route.split[0],
                labels=sort_labels({"version": version}),
                subset_name="",
                weight=weight,
            )
            for version, weight in weights.items()
        )
        return replace(route, split=tuple(targets))

    return lambda rules: replace(
        rules,
        tables=tuple(
            replace(table, routes=tuple(map(reweight, table.routes))) for table in rules.tables
        ),
    )


def replace_rules(
    patch: pytest.MonkeyPatch, promise: str, text: Callable[[str], list[Document]]
) -> None:
    """Take what `text` returns for a dialect in the place of the rules of `promise`."""
    rules: Callable[[str, str], list[Document]]
    rules = importlib.import_module("meshproof.manifests").rules

    def doctored(folder: str, dialect: str) -> list[Document]:
        return text(dialect) if folder == promise else rules(folder, dialect)

    patch.setattr("meshproof.manifests.rules", doctored)


@fault(
    "v3 only with 3 % leaking to v1",
    "-k=v3_only or rotation or split_half",
    failed={"v3 only": r"v1 gave \d+ of \d+ answers though only v3 is declared"},
)
def leak(patch: pytest.MonkeyPatch) -> None:
    doctor_rules(patch, change_weights("v3_only", v3=97, v1=3))


@fault(
    "v3 rule not applied",
    "-k=v3_only or rotation or split_half",
    failed={"v3 only": "though only v3 is declared.*the rule does not seem to be applied"},
)
def not_applied(patch: pytest.MonkeyPatch) -> None:
    def drop(rules: RuleSet) -> RuleSet:
        return RuleSet() if rules.tables and rules.tables[0].name == "reviews-default" else rules

    doctor_rules(patch, drop)


@fault(
    "nothing served at all",
    "-k=rotation or v3_only or cookie or split_half",
    exit_code=3,
    inconclusive=dict.fromkeys((*READS_REVIEWS, "split half"), "HTTP 404, empty"),
)
def nothing_served(patch: pytest.MonkeyPatch) -> None:
    def no_routes(
        snapshot: translate.Snapshot, listener: translate.GatewayListener, *rest: object
    ) -> Resource:
        return {"name": listener.name, "virtual_hosts": []}

    patch.setattr(translate, "translate_gateway_routes", no_routes)


# At 60/40 the tolerance of 10 points is just reached: such a split passes with a chance of beta, in
# each dialect. Until it fails its share may be far from 60 %.
@fault(
    "50-50 that is 60-40",
    ORDERS,
    "--mesh-beta=1e-9",
    failed={"split half": r"(v1 gave [5-8]\d|v2 gave [1-4]\d).* % of \d+ answers where 50 % was"},
)
def sixty_forty(patch: pytest.MonkeyPatch) -> None:
    doctor_rules(patch, change_weights("split_half", v1=60, v2=40))


@fault(
    "50-50 that is 100-0",
    ORDERS,
    failed={"split half": "v2 never answered .* looks like 100/0"},
)
def hundred_zero(patch: pytest.MonkeyPatch) -> None:
    doctor_rules(patch, change_weights("split_half", v1=100, v2=0))


@fault(
    "50-50 by round robin",
    ORDERS,
    failed={"split half": "round robin, not the rule, makes the split"},
)
def round_robin(patch: pytest.MonkeyPatch) -> None:
    def unsplit(table: RouteTable) -> RouteTable:
        host = table.hosts[0]
        everyone = Route((), (Target(host, (), 100),), table.at)
        return replace(table, routes=(everyone,)) if host.startswith("orders.") else table

    clusters = translate.translate_clusters
    doctor_rules(patch, lambda rules: replace(rules, tables=tuple(map(unsplit, rules.tables))))
    patch.setattr(
        translate,
        "translate_clusters",
        lambda *arguments: [
            {**cluster, "lb_policy": "ROUND_ROBIN"} for cluster in clusters(*arguments)
        ],
    )


@fault(
    "cookie route after the default route",
    "-k=cookie or v3_only",
    failed=dict.fromkeys(
        BURR_MOVED,
        r"though only v3 is declared.*route order.*by '(others|reviews-everyone)' at "
        r".*route_order/v1",
    ),
    is_long=True,
)
def route_order(patch: pytest.MonkeyPatch) -> None:
    replace_rules(
        patch, "cookie_burr", lambda dialect: read([_HERE / "route_order" / f"{dialect}.yaml"])
    )


@fault(
    "half of all others moved to v3",
    "-k=cookie or v3_only",
    "--mesh-beta=1e-6",
    failed={
        "cookie: others stay": r"as often as without the rule: v[123] gave \d.* of as many before"
    },
)
def half_of_others_moved(patch: pytest.MonkeyPatch) -> None:
    def move_half(table: RouteTable) -> RouteTable:
        if Path(table.at.file).parent.name != "cookie_burr":
            return table
        host, v3 = table.hosts[0], sort_labels({"version": "v3"})
        others = Route((), (Target(host, (), 50), Target(host, v3, 50)), table.at)
        return replace(table, routes=(*(route for route in table.routes if route.matches), others))

    doctor_rules(patch, lambda rules: replace(rules, tables=tuple(map(move_half, rules.tables))))


@fault(
    "cookie regex without the space case",
    "-k=cookie or v3_only",
    failed={"cookie among others": "only some requests give wrong .*Cookie: user=burr; a=b: none"},
)
def no_space(patch: pytest.MonkeyPatch) -> None:
    good, seed = r"^(.*?;\s*)?user=burr(;.*)?$", r"^(.*?;)?(user=burr)(;.*)?$"

    def text(dialect: str) -> list[Document]:
        path = MANIFESTS / "rules" / "cookie_burr" / f"{dialect}.yaml"
        before = path.read_text()
        assert before.count(good) == 1, f"{path}: the regex must stand there once"
        return parse(before.replace(good, seed), str(path))

    replace_rules(patch, "cookie_burr", text)


@fault(
    "rules file without a rule",
    "-k=v3_only or rotation",
    exit_code=65,
    not_ready={"v3 only": r"empty/v1\w*\.yaml: no Kubernetes objects found"},
)
def no_rules(patch: pytest.MonkeyPatch) -> None:
    replace_rules(patch, "v3_only", lambda dialect: read([_HERE / "empty" / f"{dialect}.yaml"]))
