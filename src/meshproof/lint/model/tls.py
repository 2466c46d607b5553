"""The TLS settings of DestinationRules, each with the host and port that it is for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from meshproof.documents.manifest import At, Value
from meshproof.lint.engine.project import children, spec, text
from meshproof.lint.model.inventory import Inventory, Policy


@dataclass(frozen=True, eq=False)
class Setting:
    """A `tls` block: for one port, or (port None) for all but those in `own`, which have theirs."""

    policy: Policy
    mode: str
    value: Value
    at: At
    port: int | None
    own: frozenset[int] = frozenset()

    @property
    def host(self) -> str:
        """The full host."""
        return self.policy.host


@lru_cache(maxsize=2)
def settings(around: Inventory) -> tuple[Setting, ...]:
    """Return the TLS settings of every DestinationRule, those of its subsets too."""
    return tuple(
        setting
        for policy in around.policies
        for way in (("trafficPolicy",), ("subsets", "trafficPolicy"))
        for holder in children(spec(policy.document), *way)
        for setting in _of(policy, holder)
    )


def _of(policy: Policy, holder: Value) -> Iterator[Setting]:
    own: set[int] = set()
    for one in children(holder, "portLevelSettings"):
        for number in children(one, "port", "number"):
            for tls in children(one, "tls"):
                if isinstance(number.content, int):
                    own.add(number.content)
                    yield _setting(policy, tls, number.content)
    for tls in children(holder, "tls"):
        yield _setting(policy, tls, None, frozenset(own))


def _setting(
    policy: Policy, tls: Value, port: int | None, own: frozenset[int] = frozenset()
) -> Setting:
    modes = children(tls, "mode")
    at = modes[0].at if modes else tls.at
    return Setting(policy, text(modes[0]) if modes else "", tls, at, port, own)
