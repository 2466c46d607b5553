"""Who sees which subset: the DestinationRule of a host that holds for a caller.

It is one of the caller's namespace, else of the service's, else of the whole mesh; of several the
one for the narrowest host. A subset that it lacks has no cluster, and the caller gets a 503.
Source: istiod, PushContext.destinationRule.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from meshproof.base.names import MESH, ROOT_NAMESPACE, Labels, is_service
from meshproof.documents.manifest import At
from meshproof.oracle import hosts
from meshproof.oracle.conditions import Call
from meshproof.rules.model import DestinationRule, Route, RuleSet, Target


def find_caller_namespace(call: Call) -> str:
    """Return the namespace of the proxy that sends a call on: the caller's, or the gateway's."""
    return call.namespace if call.gateway == MESH else call.proxy.namespace


def sees_subset(rules: RuleSet, target: Target, caller: str) -> bool:
    """Say whether callers of a namespace have the subset of a target; true for a whole service."""
    return find_labels(rules, target, caller) is not None


def find_labels(rules: RuleSet, target: Target, caller: str) -> Labels | None:
    """Return the labels that callers of a namespace mean by a target, None without its subset.

    Of a host outside the cluster every rule counts: its entry may be in any namespace.
    """
    if not target.subset_name:
        return target.labels
    covering = [rule for rule in rules.destination_rules if hosts.covers(rule.host, target.host)]
    if not is_service(target.host):
        is_defined = any(target.subset_name in dict(rule.subsets) for rule in covering)
        return target.labels if is_defined else None
    rule = _find_rule(covering, target.host.split(".")[1], caller)
    return dict(rule.subsets).get(target.subset_name) if rule is not None else None


def find_rule(rules: RuleSet, host: str, caller: str) -> DestinationRule | None:
    """Return the DestinationRule of a service that callers of a namespace have, or None."""
    covering = [rule for rule in rules.destination_rules if hosts.covers(rule.host, host)]
    return _find_rule(covering, host.split(".")[1], caller)


def _find_rule(
    covering: Sequence[DestinationRule], owner: str, caller: str
) -> DestinationRule | None:
    """Return the rule that holds for callers of a namespace, of those that cover a service."""
    if caller == ROOT_NAMESPACE:  # its rules for all come last, as for other callers
        own_rules = [rule for rule in covering if _is_private(rule, caller)]
    else:
        own_rules = [rule for rule in covering if rule.namespace == caller]
    candidates = [
        _pick_narrowest(rule for rule in own_rules if rule.is_visible_from(caller)),
        *(
            _pick_narrowest(
                rule
                for rule in covering
                if rule.namespace == namespace and not _is_private(rule, namespace)
            )
            for namespace in (owner, ROOT_NAMESPACE)
        ),
    ]
    for narrowest_rules in candidates:
        if visible := [rule for rule in narrowest_rules if rule.is_visible_from(caller)]:
            return visible[-1]
    return None


def resolve_route(rules: RuleSet, route: Route, caller: str) -> Route:
    """Return a route with the labels that its subsets have for callers of a namespace.

    Those of a subset that they do not have stay.
    """

    def resolve(target: Target) -> Target:
        labels = find_labels(rules, target, caller)
        return target if labels in (None, target.labels) else replace(target, labels=labels or ())

    if not rules.destination_rules:
        return route
    split = tuple(map(resolve, route.split))
    mirrors = tuple(replace(mirror, target=resolve(mirror.target)) for mirror in route.mirrors)
    if (split, mirrors) == (route.split, route.mirrors):
        return route
    return replace(route, split=split, mirrors=mirrors)


def list_differing_callers(rules: RuleSet, targets: Sequence[Target]) -> list[str]:
    """Return the namespaces whose own DestinationRules mean something else by one of the targets.

    That is: other labels, or no such subset.
    """
    namespaces = dict.fromkeys(
        rule.namespace
        for rule in rules.destination_rules
        for target in targets
        if target.subset_name
        and is_service(target.host)
        and hosts.covers(rule.host, target.host)
        and rule.namespace not in (target.host.split(".")[1], ROOT_NAMESPACE)
    )
    return [
        namespace
        for namespace in namespaces
        if any(find_labels(rules, target, namespace) != target.labels for target in targets)
    ]


def find_definition(rules: RuleSet, target: Target) -> At | None:
    """Return where a DestinationRule, seen or not, defines the subset of a target."""
    places = (
        rule.at
        for rule in rules.destination_rules
        if hosts.covers(rule.host, target.host) and target.subset_name in dict(rule.subsets)
    )
    return next(places, None)


def list_names(rules: RuleSet, host: str) -> list[str]:
    """Return the names of all subsets that DestinationRules define for a host."""
    covering = [rule for rule in rules.destination_rules if hosts.covers(rule.host, host)]
    return sorted({name for rule in covering for name, _ in rule.subsets})


def _is_private(rule: DestinationRule, namespace: str) -> bool:
    """Say whether a rule is one of a namespace for its own callers alone."""
    return rule.namespace == namespace and rule.export_to == (namespace,)


def _pick_narrowest(rules: Iterable[DestinationRule]) -> list[DestinationRule]:
    """Return the rules for the narrowest host among some that cover a service."""
    ordered = sorted(rules, key=lambda rule: (not rule.host.startswith("*"), len(rule.host)))
    return [rule for rule in ordered if rule.host == ordered[-1].host]
