"""Reads DestinationRules and merges those of one host, as istiod does.

Rules of one namespace and host are merged if they are exported alike: the oldest says what a subset
is. Others stay apart, and the youngest that a caller sees holds for it.
Source: istiod, PushContext.mergeDestinationRule, SidecarScope.DestinationRule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from meshproof.base.names import Labels
from meshproof.documents.problems import CheckedDocument
from meshproof.inventory import destination_rules as inventory
from meshproof.rules.istio.pod_hashes import read_balancers
from meshproof.rules.istio.policies import find_export, read_export
from meshproof.rules.model import DestinationRule


@dataclass
class _Merged:
    """A rule with all that is merged into it; `export_to` as its object says it."""

    rule: DestinationRule
    export_to: frozenset[str]
    has_age: bool


def read_merged_rules(documents: Iterable[CheckedDocument]) -> tuple[DestinationRule, ...]:
    """Return the DestinationRules of documents, the oldest first, those that istiod merges as one.

    Where the age decides and is not said, that is a problem of the document.
    """
    merged_rules: list[_Merged] = []
    for checked in sorted(documents, key=_make_age_key):
        with checked.collect(checked.document.root):
            for added in _read_rules(checked):
                _merge_into(merged_rules, added)
    return tuple(merged.rule for merged in merged_rules)


def _make_age_key(checked: CheckedDocument) -> tuple[str, ...]:
    """Return the key by which istiod sorts: age, then name; without an age the place."""
    document = checked.document
    if not document.created:
        return "", document.at.file, f"{document.at.line:09}"
    return document.created, document.name, document.namespace


def _read_rules(checked: CheckedDocument) -> Iterator[_Merged]:
    """Yield the rule of a document; what of it cannot be read is a problem of the document."""
    document = checked.document
    export_to: tuple[str, ...] = ()
    with checked.collect(document.spec):
        export_to = read_export(document.spec, document.namespace)
    for rule in inventory.read_destination_rules([document]):
        checked.add_errors(rule.problems)
        subsets: dict[str, Labels] = {}
        for subset in rule.subsets:
            with checked.collect(document.spec):
                if subset.name in subsets:
                    raise subset.at.error(f"subset '{subset.name}' of {rule.host} is defined twice")
            subsets.setdefault(subset.name, subset.labels)
        yield _Merged(
            DestinationRule(
                document.namespace,
                rule.host,
                tuple(subsets.items()),
                document.at,
                export_to,
                read_balancers(document),
            ),
            frozenset(map(str, find_export(document.spec))),
            bool(document.created),
        )


def _merge_into(merged_rules: list[_Merged], added: _Merged) -> None:
    """Add a rule to those before it: to one that is exported alike or less, else at the end."""
    rule = added.rule
    for older in merged_rules:
        if (older.rule.namespace, older.rule.host) != (rule.namespace, rule.host):
            continue
        knows_order = added.has_age and older.has_age
        is_like = added.export_to == older.export_to
        if not is_like and not (older.export_to and added.export_to > older.export_to):
            if not knows_order:
                raise rule.at.unsupported(
                    f"{rule.host} has a DestinationRule at {older.rule.at} that is exported "
                    "otherwise; which of them holds is not specified: the younger one, and no "
                    "creationTimestamp tells it"
                )
            continue
        known = dict(older.rule.subsets)
        for name, labels in rule.subsets:
            if not knows_order and known.get(name, labels) != labels:
                raise rule.at.unsupported(
                    f"subset '{name}' of {rule.host} is defined twice, at {older.rule.at} with "
                    "other labels; which of them holds is not specified: the older one, and no "
                    "creationTimestamp tells it"
                )
        balancers = dict(older.rule.balancers)
        for name, pod_hash in rule.balancers:
            if name not in known:
                balancers.setdefault(name, pod_hash)
        older.rule = replace(
            older.rule,
            subsets=tuple({**dict(rule.subsets), **known}.items()),
            balancers=tuple(balancers.items()),
        )
        older.has_age = knows_order
        return
    merged_rules.append(added)
