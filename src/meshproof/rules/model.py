"""One model of routing for every dialect: host -> ordered routes (match -> split)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from meshproof.base.names import Labels
from meshproof.documents.manifest import At, Document
from meshproof.rules.actions import (
    UNCHANGED,
    Cors,
    DirectResponse,
    Fault,
    Headers,
    Redirect,
    Retries,
    Rewrite,
)
from meshproof.rules.judge_options import Options

MtlsMode = Literal["DISABLE", "PERMISSIVE", "STRICT"]


@dataclass(frozen=True)
class StringMatch:
    """How one string is compared. `regex` is RE2 on the whole value (Istio reference).

    `path_prefix` is a path itself and what is below it: a prefix of whole elements (Gateway API
    reference, PathPrefix). Its value has no slash at its end and is never `/` alone.
    """

    kind: Literal["exact", "prefix", "path_prefix", "regex", "present"]
    value: str
    at: At = field(compare=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.value!r}"


@dataclass(frozen=True)
class Match:
    """Conditions that must all hold. Header names are lower case; empty means: every request.

    `gateways` restricts the match to requests that came in there (empty: as the route says);
    `source` and `source_namespace` to calling workloads with these labels, of this namespace;
    `port` to requests for that port of the host.
    """

    at: At = field(compare=False)
    uri: StringMatch | None = None
    ignore_uri_case: bool = False
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: tuple[tuple[str, StringMatch], ...] = ()
    without_headers: tuple[tuple[str, StringMatch], ...] = ()
    query: tuple[tuple[str, StringMatch], ...] = ()
    gateways: tuple[str, ...] = ()
    source: Labels = ()
    source_namespace: str = ""
    port: int | None = None
    scheme: StringMatch | None = None


@dataclass(frozen=True)
class Target:
    """One destination of a split: a service, the labels that pick its subset, and its weight.

    `host` is the full name (`reviews.default.svc.cluster.local`), `port` None means the port that
    was asked for, `weight` is 0 or more; what counts is its part of the split's sum. `headers` are
    changed for this destination alone.
    """

    host: str
    labels: Labels
    weight: int
    port: int | None = None
    at: At | None = field(default=None, compare=False)
    headers: Headers = UNCHANGED

    @property
    def subset(self) -> str:
        """Name of the subset: the version where that is the only label, else all labels."""
        if len(self.labels) == 1 and self.labels[0][0] == "version":
            return self.labels[0][1]
        return ",".join(f"{key}={value}" for key, value in self.labels)


@dataclass(frozen=True)
class Mirror:
    """A destination that gets a copy of `percent` (0..100) of the requests; nobody hears it."""

    target: Target
    percent: float = 100.0


@dataclass(frozen=True)
class Route:
    """One branch of a table: the first route with a match that holds decides (no match: always).

    Its requests go to the split, or are answered by `redirect` or `direct`: exactly one is there.
    `timeout` is in seconds; None and 0 mean no limit. `options` are those that its rule sets for
    the judge.
    """

    matches: tuple[Match, ...]
    split: tuple[Target, ...]
    at: At = field(compare=False)
    name: str = field(default="", compare=False)
    redirect: Redirect | None = None
    direct_response: DirectResponse | None = None
    rewrite: Rewrite | None = None
    headers: Headers = UNCHANGED
    fault: Fault | None = None
    timeout: float | None = None
    retries: Retries | None = None
    mirrors: tuple[Mirror, ...] = ()
    cors: Cors | None = None
    options: Options = ()

    @property
    def targets(self) -> tuple[Target, ...]:
        """Every destination that requests or copies of them are sent to."""
        return (*self.split, *(mirror.target for mirror in self.mirrors))

    @property
    def all_headers(self) -> tuple[Headers, ...]:
        """The header changes of the route and those of each of its destinations."""
        return (self.headers, *(target.headers for target in self.split))

    def shares(self) -> dict[str, float]:
        """Return the declared share of each subset, in 0..1, summing to 1."""
        total = sum(target.weight for target in self.split)
        shares: dict[str, float] = {}
        for target in self.split:
            shares[target.subset] = shares.get(target.subset, 0.0) + target.weight / total
        return shares


@dataclass(frozen=True)
class RouteTable:
    """The ordered routes for some hosts, and where they hold: in sidecars (`mesh`) or at gateways.

    Gateways are named as in `Gateway`. `None` stands for everywhere (RouteRule knew no gateways).
    In sidecars they hold for `ports` of the hosts alone, for every port where there are none.
    """

    hosts: tuple[str, ...]
    routes: tuple[Route, ...]
    gateways: tuple[str, ...] | None
    at: At = field(compare=False)
    name: str = field(default="", compare=False)
    namespace: str = "default"
    ports: tuple[int, ...] = ()

    def applies_to_port(self, port: int) -> bool:
        """Say whether the route holds for a port of its hosts, in sidecars."""
        return not self.ports or port in self.ports


@dataclass(frozen=True)
class Server:
    """One port of a gateway: its number and the hosts that it serves (`*` for all)."""

    port: int
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Gateway:
    """A way in: `name` is namespace/name, `servers` its ports.

    A listener of Gateway API is a way in of its own, namespace/name/listener. `proxy` is what
    serves it: a Gateway of Gateway API has its own (namespace/name), Istio's share one (nothing).
    """

    name: str
    servers: tuple[Server, ...]
    at: At = field(compare=False)
    proxy: str = ""


@dataclass(frozen=True)
class PeerPolicy:
    """Which transport sidecars accept: for the mesh (root namespace), a namespace or workloads.

    `mode` None means: as the next wider policy says.
    """

    namespace: str
    mode: MtlsMode | None
    at: At = field(compare=False)
    selector: Labels = ()


@dataclass(frozen=True)
class RuleSet:
    """All rules that are served together, and the dialect of their routes (for reports).

    `documents` are the objects that they were read from: a cluster gets those.
    """

    tables: tuple[RouteTable, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    policies: tuple[PeerPolicy, ...] = ()
    dialect: str = field(default="", compare=False)
    documents: tuple[Document, ...] = field(default=(), compare=False, repr=False)

    def __add__(self, other: RuleSet) -> RuleSet:
        return RuleSet(
            self.tables + other.tables,
            self.gateways + other.gateways,
            self.policies + other.policies,
            self.dialect or other.dialect,
            self.documents + other.documents,
        )

    @property
    def is_empty(self) -> bool:
        """True when there is no rule at all."""
        return not (self.tables or self.gateways or self.policies)
