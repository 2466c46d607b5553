"""Reads the TLS settings of DestinationRules, each with its host and port.

Source: Istio reference, DestinationRule (ClientTLSSettings).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from meshproof.documents.lookup import find_values, read_text
from meshproof.documents.manifest import At, Value
from meshproof.inventory.destination_rules import DestinationRule


@dataclass(frozen=True, eq=False)
class TlsSettings:
    """A `tls` block: for one port, or (port None) for all but `overridden_ports`."""

    rule: DestinationRule
    mode: str
    value: Value
    at: At
    port: int | None
    overridden_ports: frozenset[int] = frozenset()

    @property
    def host(self) -> str:
        """The full host."""
        return self.rule.host


def read_tls_settings(rules: Iterable[DestinationRule]) -> Iterator[TlsSettings]:
    """Yield the TLS settings of DestinationRules and of their subsets."""
    for rule in rules:
        for policy in rule.traffic_policies:
            yield from _read_settings(rule, policy)


def _read_settings(rule: DestinationRule, holder: Value) -> Iterator[TlsSettings]:
    """Yield the TLS settings of one traffic policy."""
    overridden_ports: set[int] = set()
    for port_settings in find_values(holder, "portLevelSettings"):
        for number in find_values(port_settings, "port", "number"):
            for tls in find_values(port_settings, "tls"):
                if isinstance(number.content, int):
                    overridden_ports.add(number.content)
                    yield _build_settings(rule, tls, number.content)
    for tls in find_values(holder, "tls"):
        yield _build_settings(rule, tls, None, frozenset(overridden_ports))


def _build_settings(
    rule: DestinationRule,
    tls: Value,
    port: int | None,
    overridden_ports: frozenset[int] = frozenset(),
) -> TlsSettings:
    """Return the settings of one `tls` block."""
    modes = find_values(tls, "mode")
    at = modes[0].at if modes else tls.at
    return TlsSettings(rule, read_text(modes[0]) if modes else "", tls, at, port, overridden_ports)
