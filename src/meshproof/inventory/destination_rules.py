"""Reads DestinationRules: their host and their subsets.

Source: Istio reference, DestinationRule.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from meshproof.base.errors import BadRules
from meshproof.base.names import Labels, qualify_host
from meshproof.documents.lookup import (
    find_values,
    list_leaf_texts,
    read_labels,
    read_spec,
    read_text,
)
from meshproof.documents.manifest import At, Document, Value
from meshproof.documents.value import NamedByValue
from meshproof.inventory.problems import Problems

KIND = "DestinationRule"


@dataclass(frozen=True, eq=False, slots=True)
class Subset:
    """A subset of a DestinationRule: its name with its place, and its labels, () without any."""

    name: str
    labels: Labels
    at: At


@dataclass(frozen=True, eq=False, slots=True)
class DestinationRule(NamedByValue):
    """A DestinationRule with its full host and subsets; what could be read of them.

    `source_text` is the host as written, in `named_by`. `is_complete` if all subsets have a name.
    `has_selector` if it is for some workloads of its namespace alone. `traffic_policies` are that
    of the rule, if any, and those of its subsets.
    """

    document: Document
    host: str
    source_text: str
    named_by: Value
    subsets: tuple[Subset, ...]
    is_complete: bool
    has_selector: bool = False
    traffic_policies: tuple[Value, ...] = ()
    problems: tuple[BadRules, ...] = ()


def read_destination_rules(documents: Iterable[Document]) -> tuple[DestinationRule, ...]:
    """Return the DestinationRules of documents of that kind, with problems instead of raising.

    A trafficPolicy is handed on as it is. The host of a rule without any is empty.
    """
    return tuple(map(_read_destination_rule, documents))


def read_traffic_settings(
    documents: Iterable[Document],
) -> dict[str, dict[str, dict[str, str]]]:
    """Return the settings of traffic policies by host and subset, "" for those of a whole rule.

    A setting is the path of a value below its trafficPolicy, and its text.
    """
    settings: dict[str, dict[str, dict[str, str]]] = {}
    for rule in read_destination_rules(documents):
        by_subset = settings.setdefault(rule.host, {})
        for name, policy in list_named_policies(rule.document):
            by_subset.setdefault(name, {}).update(list_leaf_texts(policy))
    return settings


def list_named_policies(document: Document) -> list[tuple[str, Value]]:
    """Return each trafficPolicy of a DestinationRule with its subset, "" for the whole rule's."""
    parts = [("", value) for value in find_values(document.root, "spec")]
    parts += [
        (subset.name, entry)
        for entry in find_values(document.root, "spec", "subsets")
        if isinstance(entry.content, dict)
        for subset in _read_subset(entry)
    ]
    return [(name, policy) for name, part in parts for policy in find_values(part, "trafficPolicy")]


def _read_destination_rule(document: Document) -> DestinationRule:
    spec = read_spec(document)
    entries = [entry for entry in find_values(spec, "subsets") if isinstance(entry.content, dict)]
    subsets = [subset for entry in entries for subset in _read_subset(entry)]
    hosts = find_values(spec, "host")
    host_text = read_text(hosts[0]) if hosts else ""
    return DestinationRule(
        document,
        qualify_host(host_text, document.namespace) if hosts else "",
        host_text,
        hosts[0] if hosts else document.root,
        tuple(subsets),
        len(subsets) == len(entries),
        bool(find_values(spec, "workloadSelector")),
        tuple(
            policy
            for path in (("trafficPolicy",), ("subsets", "trafficPolicy"))
            for policy in find_values(spec, *path)
            if policy.content is not None
        ),
        tuple(_find_problems(document)),
    )


def _read_subset(entry: Value) -> list[Subset]:
    """Return the subset of an entry, none without a name."""
    name = entry.mapping().get("name")
    if name is None or not read_text(name):
        return []
    return [Subset(read_text(name), read_labels(entry.mapping().get("labels")), name.at)]


def _find_problems(document: Document) -> Problems:
    """Return what is wrong with the host and the subsets of a DestinationRule."""
    problems = Problems()
    with problems:
        document.spec.need("host").text()
    with problems:
        for entry in document.spec.entries("subsets"):
            with problems:
                entry.need("name").text()
                labels = entry.get("labels")
                if labels is not None:
                    labels.text_mapping()
    return problems
