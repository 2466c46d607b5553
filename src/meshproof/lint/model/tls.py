"""The TLS settings of DestinationRules, each with the host and port that it is for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from meshproof.documents.manifest import At, Value
from meshproof.lint.engine.project import find_values, read_spec, read_text
from meshproof.lint.model.inventory import DestinationRule, Inventory


@dataclass(frozen=True, eq=False)
class TlsSettings:
    """A `tls` block: for one port, or (port None) for all but those in `own`, which have theirs."""

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


@lru_cache(maxsize=2)
def read_tls_settings(around: Inventory) -> tuple[TlsSettings, ...]:
    """Return the TLS settings of every DestinationRule, those of its subsets too."""
    return tuple(
        setting
        for policy in around.destination_rules
        for way in (("trafficPolicy",), ("subsets", "trafficPolicy"))
        for holder in find_values(read_spec(policy.document), *way)
        for setting in _read_settings(policy, holder)
    )


def _read_settings(policy: DestinationRule, holder: Value) -> Iterator[TlsSettings]:
    own: set[int] = set()
    for one in find_values(holder, "portLevelSettings"):
        for number in find_values(one, "port", "number"):
            for tls in find_values(one, "tls"):
                if isinstance(number.content, int):
                    own.add(number.content)
                    yield _build_settings(policy, tls, number.content)
    for tls in find_values(holder, "tls"):
        yield _build_settings(policy, tls, None, frozenset(own))


def _build_settings(
    policy: DestinationRule, tls: Value, port: int | None, own: frozenset[int] = frozenset()
) -> TlsSettings:
    modes = find_values(tls, "mode")
    at = modes[0].at if modes else tls.at
    return TlsSettings(policy, read_text(modes[0]) if modes else "", tls, at, port, own)
