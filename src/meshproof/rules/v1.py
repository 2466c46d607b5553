"""Reads networking.istio.io and security.istio.io objects into the routing model.

Source for fields and meanings: Istio reference, pages VirtualService, DestinationRule, Gateway and
PeerAuthentication.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from meshproof.errors import BadRules, nearest
from meshproof.manifest import Document, Value
from meshproof.rules.model import (
    MESH,
    Arm,
    Gateway,
    Labels,
    Match,
    PeerPolicy,
    Route,
    RuleSet,
    Server,
    StringMatch,
    Target,
    full_name,
    labels,
)

VERSIONS = ("v1", "v1beta1", "v1alpha3")
KINDS = ("VirtualService", "DestinationRule", "Gateway", "PeerAuthentication")
DIALECT = "VirtualService"

_HTTP_UNSUPPORTED = (
    "corsPolicy",
    "delegate",
    "directResponse",
    "fault",
    "headers",
    "mirror",
    "mirrorPercentage",
    "mirrors",
    "redirect",
    "retries",
    "rewrite",
    "timeout",
)
_MATCH_UNSUPPORTED = ("port", "scheme", "sourceNamespace", "statPrefix")
_MODES = ("DISABLE", "PERMISSIVE", "STRICT")


def handles(document: Document) -> bool:
    """Say whether this reader knows the document's group, version and kind."""
    group, _, version = document.api_version.rpartition("/")
    return (
        group in ("networking.istio.io", "security.istio.io")
        and version in VERSIONS
        and document.kind in KINDS
    )


def read(documents: Iterable[Document]) -> RuleSet:
    """Return the rules in `documents`; subsets are resolved to the labels that they stand for.

    Raises BadRules with file and line for what is missing, unknown or not supported yet.
    """
    found: dict[str, list[Document]] = {kind: [] for kind in KINDS}
    for document in documents:
        found[document.kind].append(document)
    subsets = _Subsets.read(found["DestinationRule"])
    return RuleSet(
        routes=tuple(_route(document, subsets) for document in found["VirtualService"]),
        gateways=tuple(_gateway(document) for document in found["Gateway"]),
        policies=tuple(_policy(document) for document in found["PeerAuthentication"]),
        dialect=DIALECT if found["VirtualService"] else "",
    )


@dataclass(frozen=True)
class _Subsets:
    """The subsets of all DestinationRules: (full host, subset name) -> labels."""

    known: dict[tuple[str, str], Labels]

    @classmethod
    def read(cls, documents: Iterable[Document]) -> _Subsets:
        known: dict[tuple[str, str], Labels] = {}
        for document in documents:
            spec = document.spec
            spec.allow(
                "host",
                "subsets",
                unsupported=("exportTo", "trafficPolicy", "workloadSelector"),
            )
            host = full_name(spec.need("host").text(), document.namespace)
            for entry in _entries(spec, "subsets"):
                entry.allow("labels", "name", unsupported=("trafficPolicy",))
                name = entry.need("name")
                if (host, name.text()) in known:
                    raise BadRules(f"{name.at}: subset '{name.text()}' of {host} is defined twice")
                known[host, name.text()] = labels(entry.need("labels").texts())
        return cls(known)

    def labels(self, host: str, subset: Value | None) -> Labels:
        if subset is None:
            return ()
        name = subset.text()
        if (host, name) not in self.known:
            defined = sorted(known for owner, known in self.known if owner == host)
            raise BadRules(
                f"{subset.at}: subset '{name}' of {host} is not defined by any DestinationRule; "
                f"defined: {', '.join(defined) or 'none'}{nearest(name, defined)}"
            )
        return self.known[host, name]


def _entries(parent: Value, key: str) -> list[Value]:
    found = parent.get(key)
    return found.items() if found else []


def _route(document: Document, subsets: _Subsets) -> Route:
    spec = document.spec
    spec.allow("gateways", "hosts", "http", unsupported=("exportTo", "tcp", "tls"))
    namespace = document.namespace
    hosts = tuple(full_name(host.text(), namespace) for host in spec.need("hosts").items())
    arms = spec.need("http").items()
    if not hosts or not arms:
        raise BadRules(f"{document.at}: {document.name} has no hosts or no http routes")
    return Route(
        hosts=hosts,
        arms=tuple(_arm(arm, namespace, subsets) for arm in arms),
        gateways=_gateway_names(spec, namespace) or (MESH,),
        at=document.at,
        name=document.name,
        namespace=namespace,
    )


def _gateway_names(parent: Value, namespace: str) -> tuple[str, ...]:
    names = [entry.text() for entry in _entries(parent, "gateways")]
    return tuple(
        name if name == MESH or "/" in name else f"{namespace}/{name.split('.')[0]}"
        for name in names
    )


def _arm(arm: Value, namespace: str, subsets: _Subsets) -> Arm:
    arm.allow("match", "name", "route", unsupported=_HTTP_UNSUPPORTED)
    name = arm.get("name")
    return Arm(
        matches=tuple(_match(match, namespace) for match in _entries(arm, "match")),
        split=_split(arm.need("route"), namespace, subsets),
        at=arm.at,
        name=name.text() if name else "",
    )


def _match(match: Value, namespace: str) -> Match:
    match.allow(
        "authority",
        "gateways",
        "headers",
        "ignoreUriCase",
        "method",
        "name",
        "queryParams",
        "sourceLabels",
        "uri",
        "withoutHeaders",
        unsupported=_MATCH_UNSUPPORTED,
    )
    case, source = match.get("ignoreUriCase"), match.get("sourceLabels")
    return Match(
        at=match.at,
        uri=_optional_string(match, "uri"),
        ignore_uri_case=case.boolean() if case else False,
        method=_optional_string(match, "method"),
        authority=_optional_string(match, "authority"),
        headers=_strings(match, "headers"),
        without_headers=_strings(match, "withoutHeaders"),
        query=_strings(match, "queryParams", lower=False),
        gateways=_gateway_names(match, namespace),
        source=labels(source.texts()) if source else (),
    )


def _optional_string(match: Value, key: str) -> StringMatch | None:
    found = match.get(key)
    return string_match(found) if found else None


def _strings(match: Value, key: str, lower: bool = True) -> tuple[tuple[str, StringMatch], ...]:
    found = match.get(key)
    if found is None:
        return ()
    return tuple(
        (name.lower() if lower else name, string_match(value))
        for name, value in found.mapping().items()
    )


def string_match(value: Value) -> StringMatch:
    """Return a StringMatch (exact, prefix or regex; an empty one means: is present)."""
    content = value.mapping()
    value.allow("exact", "prefix", "regex")
    if not content:
        return StringMatch("present", "", value.at)
    if len(content) > 1:
        raise value.error("one of exact, prefix, regex")
    for kind in ("exact", "prefix", "regex"):
        if kind in content:
            return StringMatch(kind, content[kind].text(), content[kind].at)
    raise value.error("one of exact, prefix, regex")


def _split(route: Value, namespace: str, subsets: _Subsets) -> tuple[Target, ...]:
    entries = route.items()
    if not entries:
        raise route.error("at least one destination")
    targets = tuple(_target(entry, namespace, subsets, alone=len(entries) == 1) for entry in entries)
    if not sum(target.weight for target in targets):
        raise route.error("weights of which at least one is above 0")
    return targets


def _target(entry: Value, namespace: str, subsets: _Subsets, alone: bool) -> Target:
    entry.allow("destination", "weight", unsupported=("headers",))
    destination = entry.need("destination")
    destination.allow("host", "port", "subset")
    host = full_name(destination.need("host").text(), namespace)
    weight, port = entry.get("weight"), destination.get("port")
    if port is not None:
        port.allow("number")
    if weight is None and not alone:
        raise BadRules(f"{entry.at}: {entry.path}: a split of several needs a weight on each")
    return Target(
        host=host,
        labels=subsets.labels(host, destination.get("subset")),
        weight=_weight(weight),
        port=port.need("number").integer(1, 65535) if port else None,
        at=entry.at,
    )


def _weight(weight: Value | None) -> int:
    """Return the weight; a single destination without one gets everything."""
    return 100 if weight is None else weight.integer(0, 2**31 - 1)


def _gateway(document: Document) -> Gateway:
    spec = document.spec
    spec.allow("selector", "servers")
    selector = spec.need("selector").texts()
    if selector.get("istio") != "ingressgateway":
        raise BadRules(
            f"{spec.need('selector').at}: spec.selector: only 'istio: ingressgateway' is supported"
        )
    return Gateway(
        name=f"{document.namespace}/{document.name}",
        servers=tuple(_server(server) for server in spec.need("servers").items()),
        at=document.at,
    )


def _server(server: Value) -> Server:
    server.allow("hosts", "name", "port", unsupported=("bind", "defaultEndpoint", "tls"))
    port = server.need("port")
    port.allow("name", "number", "protocol", unsupported=("targetPort",))
    port.need("protocol").choice("HTTP", "HTTP2")
    hosts = tuple(host.text().rpartition("/")[2] for host in server.need("hosts").items())
    if not hosts:
        raise server.error("at least one host")
    return Server(port.need("number").integer(1, 65535), hosts)


def _policy(document: Document) -> PeerPolicy:
    found = document.root.get("spec")
    policy = PeerPolicy(document.namespace, "PERMISSIVE", at=document.at)
    if found is None:
        return policy
    found.allow("mtls", "selector", unsupported=("portLevelMtls",))
    mtls, selector = found.get("mtls"), found.get("selector")
    if mtls is not None:
        mtls.allow("mode")
        mode = mtls.need("mode").choice(*_MODES)
        for known in ("DISABLE", "PERMISSIVE", "STRICT"):
            if mode == known:
                policy = replace(policy, mode=known)
    if selector is not None:
        selector.allow("matchLabels")
        policy = replace(policy, selector=labels(selector.need("matchLabels").texts()))
    return policy
