"""One model of routing for every dialect: host -> ordered routes (match -> split)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from meshproof.base.errors import BadRules
from meshproof.base.names import (
    MESH,
    ROOT_NAMESPACE,
    UNDEFINED_SUBSET,
    USUAL_GATEWAY_LABELS,
    Labels,
    format_labels,
)
from meshproof.documents.manifest import At, Document
from meshproof.inventory.sidecars import Sidecar
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
#: How TLS ends at a gateway: a client certificate is never, always or sometimes asked for.
TlsMode = Literal["SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"]


@dataclass(frozen=True)
class StringMatch:
    """A condition on one string. `regex` is RE2 on the whole value (Istio reference).

    `path_prefix` takes a path and all paths below it: a prefix of whole elements (Gateway API
    reference, PathPrefix). Its value does not end in a slash and is never `/` alone.
    """

    kind: Literal["exact", "prefix", "path_prefix", "regex", "present"]
    value: str
    at: At = field(compare=False)

    def __str__(self) -> str:
        return f"{self.kind_in_words} {self.value!r}"

    @property
    def kind_in_words(self) -> str:
        """The kind as messages say it."""
        return "below" if self.kind == "path_prefix" else self.kind


@dataclass(frozen=True)
class Match:
    """Conditions that must all hold. Without any, every request matches.

    Header names are lower case. `gateways` restricts the match to requests that come in there
    (empty: as the table says). `source` and `source_namespace` restrict it to calling workloads
    with these labels, of this namespace. `port` restricts it to that port of the host. With
    `has_empty_prefix` its path is a prefix that is empty: every path has it.
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
    has_empty_prefix: bool = False


@dataclass(frozen=True)
class Target:
    """One destination of a split: a service, the labels that pick its subset, and its weight.

    `host` is the full name (`reviews.default.svc.cluster.local`). A `port` of None means the port
    of the request. `weight` is 0 or more; the share is its part of the split's sum. `headers`
    change for this destination alone. `subset_name` is that of a DestinationRule, "" without one.
    """

    host: str
    labels: Labels
    weight: int
    port: int | None = None
    at: At | None = field(default=None, compare=False)
    headers: Headers = UNCHANGED
    subset_name: str = field(default="", compare=False)

    @property
    def subset(self) -> str:
        """The name of the subset: the version if that is the only label, else all labels."""
        if len(self.labels) == 1 and self.labels[0][0] in ("version", UNDEFINED_SUBSET):
            return self.labels[0][1]
        return format_labels(self.labels)

    @property
    def is_undefined(self) -> bool:
        """Whether no DestinationRule defines its subset."""
        return UNDEFINED_SUBSET in dict(self.labels)


@dataclass(frozen=True)
class Mirror:
    """A destination that gets copies of `percent` (0..100) of the requests; answers are dropped."""

    target: Target
    percent: float = 100.0


@dataclass(frozen=True)
class Route:
    """One route of a table. The first route with a match that holds decides (no match: always).

    Exactly one of `split`, `redirect` and `direct_response` says where its requests go. `timeout`
    is in seconds; None and 0 mean no limit. `options` are the judge's options that its rule sets.
    With `problems` a part of it could not be read or is not supported: it may do something else,
    and where none of the three is there, what it does is unknown.
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
    problems: tuple[BadRules, ...] = field(default=(), compare=False)

    @property
    def targets(self) -> tuple[Target, ...]:
        """All destinations of requests and of mirrored copies."""
        return (*self.split, *(mirror.target for mirror in self.mirrors))

    @property
    def all_headers(self) -> tuple[Headers, ...]:
        """The header changes of the route, then those of each destination."""
        return (self.headers, *(target.headers for target in self.split))

    def shares(self) -> dict[str, float]:
        """Return the declared share of each subset (0..1); the shares sum to 1."""
        weights: dict[str, int] = {}
        for target in self.split:  # whole numbers first: three sixths of one subset are exactly 1
            weights[target.subset] = weights.get(target.subset, 0) + target.weight
        total = sum(weights.values())
        return {subset: weight / total for subset, weight in weights.items()}


@dataclass(frozen=True)
class RouteTable:
    """The ordered routes of some hosts, and where they apply: in sidecars (`mesh`) or at gateways.

    `gateways` are names as in `Gateway`; None means everywhere (RouteRule knew no gateways). In
    sidecars the routes apply to `ports` of the hosts alone, without any to every port.
    `export_to` are the namespaces whose proxies get the routes, () for all. `created` is when the
    object was made, "" if it does not say. `is_gateway_api` for a table of HTTPRoutes and the like.
    """

    hosts: tuple[str, ...]
    routes: tuple[Route, ...]
    gateways: tuple[str, ...] | None
    at: At = field(compare=False)
    name: str = field(default="", compare=False)
    namespace: str = "default"
    ports: tuple[int, ...] = ()
    export_to: tuple[str, ...] = ()
    created: str = field(default="", compare=False)
    is_gateway_api: bool = field(default=False, compare=False)

    @property
    def applies_to_mesh(self) -> bool:
        """Whether sidecars use it, not gateways alone."""
        return self.gateways is None or MESH in self.gateways

    def is_visible_from(self, namespace: str) -> bool:
        """Say whether proxies of a namespace get the routes."""
        return not self.export_to or namespace in self.export_to

    def applies_to_port(self, port: int) -> bool:
        """Say whether the routes apply to a port of the hosts, in sidecars."""
        return not self.ports or port in self.ports


@dataclass(frozen=True)
class Proxy:
    """A proxy that serves gateways: its name, its namespace and its labels.

    The usual one of Istio has no name. Another one that gateways of Istio select is named by the
    labels they select it by; one of Gateway API by its Gateway. With `is_assumed` no file has its
    pods: its namespace is the one where they usually are.
    """

    name: str = ""
    namespace: str = ROOT_NAMESPACE
    labels: Labels = USUAL_GATEWAY_LABELS
    is_assumed: bool = field(default=True, compare=False)


INGRESS = Proxy()


@dataclass(frozen=True)
class Server:
    """One port of a gateway: its number and the hosts that it serves (`*` for all).

    `host_namespaces` has for each host the namespace whose rules may use it, `*` for all; it is
    empty where all hosts are for all. Where TLS ends at it, `tls` is how. One that
    `redirects_to_https` answers every plain request for its hosts so.
    """

    port: int
    hosts: tuple[str, ...]
    host_namespaces: tuple[str, ...] = ()
    tls: TlsMode | None = None
    redirects_to_https: bool = False

    def hosts_for(self, namespace: str) -> tuple[str, ...]:
        """Return the hosts that rules of a namespace may use."""
        owners = self.host_namespaces or ("*",) * len(self.hosts)
        pairs = zip(self.hosts, owners, strict=True)
        return tuple(host for host, owner in pairs if owner in ("*", namespace))


@dataclass(frozen=True)
class Gateway:
    """An entry point of the mesh: `name` is namespace/name, `servers` are its ports.

    Each listener of Gateway API is a gateway here, named namespace/name/listener. `proxies` are
    those that serve it: a Gateway of Gateway API has its own. `created` is when the object was
    made, "" if it does not say.
    """

    name: str
    servers: tuple[Server, ...]
    at: At = field(compare=False)
    proxies: tuple[Proxy, ...] = (INGRESS,)
    created: str = field(default="", compare=False)


@dataclass(frozen=True)
class PeerPolicy:
    """Which transport sidecars accept, in the mesh (root namespace), a namespace or workloads.

    A `mode` of None means the mode of the next wider policy. With `has_port_modes` some ports have
    another one.
    """

    namespace: str
    mode: MtlsMode | None
    at: At = field(compare=False)
    selector: Labels = ()
    has_port_modes: bool = False


@dataclass(frozen=True)
class PodHash:
    """What of a request decides which pod gets it (consistentHash): all with one value go to one.

    `name` is that of the header (lower case), cookie or query parameter. `ttl` is how many seconds
    the cookie lives that the proxy makes for a request without it, below `cookie_path`; 0 as long
    as the client runs, None for none. `table_size` is 0 if the rule does not say it.
    """

    kind: Literal["header", "cookie", "query", "source"]
    is_maglev: bool = False
    table_size: int = 0
    name: str = ""
    ttl: float | None = None
    cookie_path: str = ""
    at: At | None = field(default=None, compare=False)


@dataclass(frozen=True)
class DestinationRule:
    """The subsets of a host, or of a wildcard, that DestinationRules of one namespace define.

    Several with the same `export_to` are one, as istiod merges them. A subset is its name and its
    labels. `export_to` are the namespaces of the callers, () for all. `balancers` has what picks
    the pods of a subset, "" for the whole host: None for anything but a hash.
    """

    namespace: str
    host: str
    subsets: tuple[tuple[str, Labels], ...]
    at: At = field(compare=False)
    export_to: tuple[str, ...] = ()
    balancers: tuple[tuple[str, PodHash | None], ...] = ()

    def is_visible_from(self, namespace: str) -> bool:
        """Say whether proxies of a namespace get the rule."""
        return not self.export_to or namespace in self.export_to


@dataclass(frozen=True)
class RuleSet:
    """All rules that are served together, and the dialect of their routes (for reports).

    `destination_rules` say which callers have which subsets, the oldest first. `sidecars` say which
    hosts and rules the callers of a namespace get: the first that fits, else that of the mesh.
    `documents` are the objects that the rules come from; a cluster gets these. `problems` is what
    could not be read or is not supported, with its place: without any, the rules are complete.
    """

    tables: tuple[RouteTable, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    policies: tuple[PeerPolicy, ...] = ()
    dialect: str = field(default="", compare=False)
    documents: tuple[Document, ...] = field(default=(), compare=False, repr=False)
    problems: tuple[BadRules, ...] = field(default=(), compare=False)
    destination_rules: tuple[DestinationRule, ...] = field(default=(), compare=False)
    sidecars: tuple[Sidecar, ...] = field(default=(), compare=False)

    def __add__(self, added: RuleSet) -> RuleSet:
        return RuleSet(
            self.tables + added.tables,
            self.gateways + added.gateways,
            self.policies + added.policies,
            self.dialect or added.dialect,
            self.documents + added.documents,
            self.problems + added.problems,
            self.destination_rules + added.destination_rules,
            self.sidecars + added.sidecars,
        )

    @property
    def is_empty(self) -> bool:
        """True when there is no rule at all."""
        return not (self.tables or self.gateways or self.policies)
