"""What meshproof once misread, to be planted again: the comparison must find each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from meshproof.base.names import Labels
from meshproof.mesh.envoy import actions as envoy_actions
from meshproof.mesh.envoy import translate
from meshproof.mesh.envoy.topology import Service
from meshproof.rules.actions import Redirect
from meshproof.rules.istio import actions, callers, virtual_service, written
from meshproof.rules.model import Match, RouteTable, RuleSet, Target

Plant = Callable[[pytest.MonkeyPatch], None]


def _keep_callers_beside_gateways(patch: pytest.MonkeyPatch) -> None:
    place = callers._place_match

    def keep(match: Match, gateways: Iterable[str], proxies: callers.Proxies) -> Iterator[Match]:
        return iter((match,)) if match.gateways else place(match, gateways, proxies)

    patch.setattr(callers, "_place_match", keep)


def _leave_catch_alls_where_they_are(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(translate, "_move_catch_alls", list)


def _find_every_subset(patch: pytest.MonkeyPatch) -> None:
    find = translate._find_subset

    def find_anywhere(
        rules: RuleSet, service: Service, target: Target, namespace: str
    ) -> Labels | None:
        namespaces = [namespace, *(rule.namespace for rule in rules.destination_rules)]
        labels = (find(rules, service, target, name) for name in namespaces)
        return next((subset for subset in labels if subset is not None), None)

    patch.setattr(translate, "_find_subset", find_anywhere)


def _forget_the_percentage_of_a_root(patch: pytest.MonkeyPatch) -> None:
    read = written.read_mirror_percentage
    patch.setattr(
        written, "read_mirror_percentage", lambda fields, *routes: read(fields, *routes[:1])
    )


def _know_no_wildcard_hosts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(translate, "_is_host_of", lambda pattern, host: pattern == host)


def _export_to_everybody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RouteTable, "is_visible_from", lambda *_: True)


def _send_something_to_weight_0(patch: pytest.MonkeyPatch) -> None:
    translated = translate._translate_destination

    def send(*given: Any) -> dict[str, Any]:
        action = translated(*given)
        for cluster in action.get("weighted_clusters", {}).get("clusters", []):
            cluster["weight"] = max(cluster["weight"], 1)
        return action

    patch.setattr(translate, "_translate_destination", send)


def _take_a_set_host_for_a_header(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(actions, "_add_host", lambda rewrite, *_: rewrite)


def _let_the_newest_rule_of_a_host_hold(patch: pytest.MonkeyPatch) -> None:
    sort = translate._sort_tables
    patch.setattr(translate, "_sort_tables", lambda *given: sort(*given)[::-1])


def _redirect_without_the_requested_port(patch: pytest.MonkeyPatch) -> None:
    redirect = envoy_actions.translate_redirect

    def forget_port(rule: Redirect, match: Match | None, port: int, is_tls: bool = False) -> Any:
        return redirect(rule, match, 0, is_tls)

    patch.setattr(envoy_actions, "translate_redirect", forget_port)


def _take_an_empty_prefix_for_a_slash(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(virtual_service, "_has_empty_prefix", lambda match: False)


#: Name -> what plants it; each is named after its file in the collection of misreadings.
MISREADINGS: dict[str, Plant] = {
    "s01 sourceLabels beside gateways": _keep_callers_beside_gateways,
    "s04, s38 a DestinationRule of a third namespace": _find_every_subset,
    "s06 a catch-all before other rules": _leave_catch_alls_where_they_are,
    "s07 two VirtualServices of a host": _let_the_newest_rule_of_a_host_hold,
    "s08 wildcard hosts in the mesh": _know_no_wildcard_hosts,
    "s11 an empty prefix": _take_an_empty_prefix_for_a_slash,
    "s12 the mirror of a delegate": _forget_the_percentage_of_a_root,
    "s13 exportTo": _export_to_everybody,
    "s19 a missing weight": _send_something_to_weight_0,
    "s23 set: Host": _take_a_set_host_for_a_header,
    "s35 the port of a redirect": _redirect_without_the_requested_port,
}
