"""Reads VirtualServices as they are written.

Source: Istio reference, VirtualService (HTTPMatchRequest, L4MatchAttributes, TLSMatchAttributes,
Destination).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshproof.base.errors import BadRules
from meshproof.base.names import MESH, qualify_gateway, qualify_host
from meshproof.documents.lookup import find_values, get_value, read_spec, read_text
from meshproof.documents.manifest import Document, Value
from meshproof.rules.written import (
    NO_HEADERS,
    NO_LIMITS,
    PSEUDO_HEADERS,
    FieldReader,
    ListRoutes,
    Protocol,
    Reference,
    WrittenActions,
    WrittenCondition,
    WrittenDestination,
    WrittenDirectResponse,
    WrittenEntry,
    WrittenHeader,
    WrittenHeaderChanges,
    WrittenHeaders,
    WrittenLimits,
    WrittenMatch,
    WrittenMirror,
    WrittenPercentage,
    WrittenRoute,
    WrittenTable,
    read_cors,
    read_faults,
    read_mapping,
    read_percentage,
    read_redirect,
    read_rewrite,
    read_split,
    read_strings,
)

_PROTOCOLS: tuple[Protocol, ...] = ("http", "tls", "tcp")
_MAP_PARTS = {"headers": "header", "withoutHeaders": "header", "queryParams": "query"}
_LIST_PARTS = {"gateways": "gateway", "sniHosts": "SNI", "destinationSubnets": "subnet"}
_SINGLE_PARTS = {
    "port": "port",
    "sourceNamespace": "source namespace",
    "sourceSubnet": "source subnet",
}
#: Where the percentage of `mirror` may stand: the key of today first.
MIRROR_PERCENTAGES = ("mirrorPercentage", "mirror_percent", "mirrorPercent")
#: Keys of a match that say nothing of a request.
KEYS_WITHOUT_CONDITION = {"name", "statPrefix", "ignoreUriCase"}
_READ_KEYS = {
    *PSEUDO_HEADERS,
    *_MAP_PARTS,
    *_LIST_PARTS,
    *_SINGLE_PARTS,
    *KEYS_WITHOUT_CONDITION,
    "sourceLabels",
}


def read_tables(
    documents: Iterable[Document], list_routes: ListRoutes
) -> Iterator[WrittenTable[WrittenMatch]]:
    """Yield the route table of each VirtualService."""
    for document in documents:
        spec, namespace = read_spec(document), document.namespace
        gateways = tuple(read_gateways(find_values(spec, "gateways"), namespace))
        yield WrittenTable(
            document,
            "VirtualService",
            tuple(read_hosts(find_values(spec, "hosts"), namespace)),
            gateways or (Reference(MESH, MESH, document.root),),
            tuple(list_routes(document)),
        )


def read_hosts(values: Iterable[Value], namespace: str) -> Iterator[Reference]:
    """Yield the hosts of a VirtualService in full."""
    for value in values:
        if text := read_text(value):
            yield Reference(qualify_host(text, namespace), text, value)


def read_gateways(values: Iterable[Value], namespace: str) -> Iterator[Reference]:
    """Yield gateways as `namespace/name`, `mesh` as it is."""
    for value in values:
        if text := read_text(value):
            yield Reference(qualify_gateway(text, namespace), text, value)


def read_routes(document: Document, namespace: str) -> Iterator[WrittenRoute[WrittenMatch]]:
    """Yield the routes of each protocol, in order; `namespace` is that of the document."""
    for protocol in _PROTOCOLS:
        for index, value in enumerate(find_values(read_spec(document), protocol)):
            if isinstance(value.content, dict):
                yield _read_route(document, namespace, protocol, value, -index)


def _read_route(
    document: Document, namespace: str, protocol: Protocol, value: Value, precedence: int
) -> WrittenRoute[WrittenMatch]:
    """Return one entry of `http`, `tls` or `tcp` as a route."""
    name = read_text(get_value(value, "name"))
    return WrittenRoute(
        document,
        value,
        f"'{name}'" if name else value.path.removeprefix("spec."),
        tuple(
            read_match(match, namespace)
            for match in find_values(value, "match")
            if isinstance(match.content, dict)
        ),
        takes_all="match" not in value.mapping(),
        actions=read_actions(value, namespace),
        protocol=protocol,
        precedence=precedence,
    )


def read_actions(route: Value, namespace: str) -> WrittenActions:
    """Return what a route of a rule in `namespace` does."""
    fields = FieldReader()
    split = fields.get(route, "route")
    return WrittenActions(
        split=read_split(
            fields,
            "VirtualService",
            split,
            route.keys.get("route", route.at),
            0,
            lambda entry: _read_entry(fields, entry, namespace),
        ),
        redirect=read_redirect(fields, fields.get(route, "redirect")),
        limits=_read_limits(fields, route),
        faults=read_faults(fields, fields.get(route, "fault")),
        headers=_read_headers(fields, route),
        rewrite=read_rewrite(fields, fields.get(route, "rewrite")),
        direct_response=_read_direct_response(fields, fields.get(route, "directResponse")),
        mirrors=tuple(_read_mirrors(fields, route, namespace)),
        cors=read_cors(fields, fields.get(route, "corsPolicy")),
        problems=tuple(fields.problems),
    )


def _read_entry(fields: FieldReader, entry: Value, namespace: str) -> WrittenEntry:
    """Return one entry of `route`."""
    destination = fields.get(entry, "destination")
    return WrittenEntry(
        entry,
        fields.get(entry, "weight"),
        read_destination(destination, namespace) if destination is not None else None,
        _read_headers(fields, entry),
    )


def _read_limits(fields: FieldReader, route: Value) -> WrittenLimits:
    """Return the timeout of a route and its retries."""
    retries, timeout = fields.get(route, "retries"), fields.get(route, "timeout")
    if retries is None and timeout is None:
        return NO_LIMITS
    return WrittenLimits(
        timeout,
        fields.get(retries, "perTryTimeout"),
        fields.get(retries, "attempts"),
        fields.get(retries, "retryOn"),
        retries,
    )


def _read_headers(fields: FieldReader, parent: Value) -> WrittenHeaders:
    """Return the header changes of a route or of a destination."""
    headers = fields.get(parent, "headers")
    if headers is None:
        return NO_HEADERS
    return WrittenHeaders(
        _read_header_changes(fields, fields.get(headers, "request")),
        _read_header_changes(fields, fields.get(headers, "response")),
    )


def _read_header_changes(fields: FieldReader, changes: Value | None) -> WrittenHeaderChanges | None:
    """Return the changes of a request's headers or of a response's."""
    if changes is None:
        return None
    added = {}
    for key in ("set", "add"):
        headers = fields.get(changes, key)
        added[key] = tuple(
            WrittenHeader(name, value, headers.keys[name], headers.path)
            for name, value in (fields.mapping(headers).items() if headers is not None else ())
            if headers is not None
        )
    return WrittenHeaderChanges(
        changes, added["set"], added["add"], fields.items(changes, "remove")
    )


def _read_direct_response(
    fields: FieldReader, response: Value | None
) -> WrittenDirectResponse | None:
    """Return the answer that the proxy gives by itself."""
    if response is None:
        return None
    return WrittenDirectResponse(
        fields.need(response, "status"),
        fields.get(response, "body", "string"),
        fields.get(response, "body", "bytes"),
    )


def _read_mirrors(fields: FieldReader, route: Value, namespace: str) -> Iterator[WrittenMirror]:
    """Yield the mirror of a route, then those in its list."""
    only = fields.get(route, "mirror")
    if only is not None:
        percentage = read_mirror_percentage(fields, route)
        yield WrittenMirror(only, only, read_destination(only, namespace), percentage, is_only=True)
    for entry in fields.items(route, "mirrors"):
        destination = fields.need(entry, "destination")
        target = read_destination(destination, namespace) if destination is not None else None
        percentage = read_percentage(fields, entry, "percentage")
        yield WrittenMirror(entry, destination, target, percentage)


def read_mirror_percentage(fields: FieldReader, *routes: Value) -> WrittenPercentage | None:
    """Return the percentage of `mirror`: of the first route that has it in the form of today."""
    today, *_ = MIRROR_PERCENTAGES
    for key in MIRROR_PERCENTAGES:
        for route in routes:
            if fields.get(route, key) is not None:
                return read_percentage(fields, route, today, key)
    return None


def read_destination(value: Value, namespace: str) -> WrittenDestination | None:
    """Return a Destination, None if it has no host."""
    host = get_value(value, "host")
    text = read_text(host)
    if host is None or not text:
        return None
    return WrittenDestination(
        qualify_host(text, namespace),
        text,
        host,
        namespace,
        get_value(value, "subset"),
        port=get_value(get_value(value, "port"), "number"),
    )


def read_match(value: Value, namespace: str) -> WrittenMatch:
    """Return the conditions of one match of a rule in `namespace`."""
    problems: list[BadRules] = []
    content = read_mapping(value, problems)
    conditions = [
        *_read_string_parts(value),
        *_read_maps(value, problems),
        *_read_lists(value, namespace, problems),
        *_read_single_parts(value),
        *_read_labels(value, problems),
    ]
    keys = set(content)
    is_complete = keys <= _READ_KEYS and not keys <= KEYS_WITHOUT_CONDITION
    return WrittenMatch(
        value,
        tuple(conditions),
        is_complete and all(content[key].content != {} for key in keys & {*PSEUDO_HEADERS}),
        tuple(problems),
        get_value(value, "ignoreUriCase"),
    )


def _read_string_parts(match: Value) -> Iterator[WrittenCondition]:
    """Yield the conditions on path, scheme, method and authority."""
    for part in PSEUDO_HEADERS:
        value = get_value(match, part)
        if value is not None:
            yield WrittenCondition(part, value, value.at, strings=read_strings(value))


def _read_maps(match: Value, problems: list[BadRules]) -> Iterator[WrittenCondition]:
    """Yield the conditions on headers and query parameters."""
    for key, part in _MAP_PARTS.items():
        entries = get_value(match, key)
        if entries is None:
            continue
        for name, value in read_mapping(entries, problems).items():
            yield WrittenCondition(
                part,
                value,
                entries.keys.get(name, value.at),
                name,
                read_strings(value),
                negated=key == "withoutHeaders",
            )


def _read_lists(
    match: Value, namespace: str, problems: list[BadRules]
) -> Iterator[WrittenCondition]:
    """Yield the conditions on gateways, SNI and subnets."""
    for key, part in _LIST_PARTS.items():
        value = get_value(match, key)
        if value is None:
            continue
        if not isinstance(value.content, list):
            problems.append(value.error("a list"))
            continue
        problems += [
            entry.error("text") for entry in value.content if not isinstance(entry.content, str)
        ]
        texts = [read_text(entry) for entry in value.content]
        if part == "gateway":
            texts = [gateway.full_name for gateway in read_gateways(value.content, namespace)]
        if texts:
            yield WrittenCondition(part, value, value.at, values=tuple(texts))


def _read_single_parts(match: Value) -> Iterator[WrittenCondition]:
    """Yield the conditions on the port and on where the request comes from."""
    for key, part in _SINGLE_PARTS.items():
        value = get_value(match, key)
        if value is not None:
            yield WrittenCondition(part, value, value.at, strings=(("exact", value),))


def _read_labels(match: Value, problems: list[BadRules]) -> Iterator[WrittenCondition]:
    """Yield the conditions on the labels of the caller's pods."""
    labels = get_value(match, "sourceLabels")
    for name, value in read_mapping(labels, problems).items() if labels is not None else ():
        yield WrittenCondition("source label", value, value.at, name, (("exact", value),))
