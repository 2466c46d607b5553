"""Turns a URL, headers and a caller, as a user gives them, into the call that rules see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from meshproof.base.errors import UsageError, suggest_nearest
from meshproof.base.names import CLUSTER_DOMAIN, MESH, Labels, sort_labels
from meshproof.oracle.conditions import Call

if TYPE_CHECKING:
    from meshproof.user_rules.loading import UserRules

_DEFAULT_PORTS = {"http": 80, "https": 443}
_DEFAULT_NAMESPACE = Call("").namespace


@dataclass(frozen=True)
class CalledUrl:
    """A request as a user writes it: `headers` are texts `name: value`.

    `caller` is the calling workload: NAME, NAMESPACE/NAME, or labels in place of the name
    (`app=web,version=v1`); "" for a client outside the mesh where a gateway serves the URL.
    """

    url: str
    method: str = "GET"
    headers: Sequence[str] = ()
    caller: str = ""


def build_call(called: CalledUrl, user_rules: UserRules) -> Call:
    """Return the call of a URL: through the Gateway that serves it, or from a workload.

    Raises UsageError for a URL, header or workload that is none, and for a host that neither a
    Gateway nor the mesh has; each with the nearest that is there.
    """
    url = _split_url(called.url)
    headers = dict(_read_header(text) for text in called.headers)
    authority = headers.pop("host", url.netloc.rpartition("@")[2])
    plain = Call(
        host=(url.hostname or ""),
        path=url.path or "/",
        method=called.method.upper(),
        headers=tuple(sorted(headers.items())),
        query=tuple(_read_query(url.query)),
        authority=authority,
        port=url.port or _DEFAULT_PORTS[url.scheme],
    )
    if called.caller:
        namespace, labels = _find_caller(called.caller, user_rules)
        return _enter_mesh(replace(plain, source=labels, namespace=namespace), user_rules)
    name = authority.partition(":")[0].lower()
    if gateways := user_rules.explainer.list_gateways(name, plain.port):
        return replace(plain, gateway=gateways[0].name)
    return _enter_mesh(plain, user_rules)


def _split_url(text: str) -> SplitResult:
    """Return the parts of a URL; `shop/api` is read as `http://shop/api`."""
    try:
        url = urlsplit(text if "://" in text else f"http://{text}")
        _ = url.port  # raises for what is no port
    except ValueError as error:
        raise UsageError(f"{text}: no URL: {error}") from None
    if url.scheme not in _DEFAULT_PORTS:
        raise UsageError(f"{text}: expected http://HOST/PATH or https://HOST/PATH")
    if not url.hostname:
        raise UsageError(f"{text}: no URL: the host is missing")
    return url


def _read_header(text: str) -> tuple[str, str]:
    """Return name (lower case) and value of `name: value`."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise UsageError(f"--header '{text}': expected 'name: value'")
    return name.strip().lower(), value.strip()


def _read_query(query: str) -> Iterator[tuple[str, str]]:
    """Yield the parameters of a query."""
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        yield unquote(name), value


def _enter_mesh(call: Call, user_rules: UserRules) -> Call:
    """Return the call from a workload; without one, from the first namespace that has the host."""
    name = call.host_header.partition(":")[0].lower()
    rules = user_rules.rules
    namespaces = [call.namespace] if call.source else _list_namespaces(user_rules)
    for namespace in namespaces:
        if host := user_rules.explainer.find_mesh_host(name, namespace):
            return replace(call, host=host, gateway=MESH, namespace=namespace)
    at_gateways = {
        f"{host}:{server.port}" if server.port != 80 else host
        for gateway in rules.gateways
        for server in gateway.servers
        for host in server.hosts
    }
    in_mesh = {host for table in rules.tables for host in table.hosts}
    names = [*at_gateways, *in_mesh, *(host.split(".")[0] for host in in_mesh)]
    hint = suggest_nearest(name, [known for known in names if known != name])
    served = ", ".join(sorted(at_gateways)[:4])
    raise UsageError(
        f"no Gateway serves {name} at port {call.port}"
        + (f" (they serve {served})" if served else "")
        + f", and no rule or Service of the mesh has that name{hint}"
    )


def _list_namespaces(user_rules: UserRules) -> list[str]:
    """Return the namespaces that a client may be in, the usual one first."""
    tables = (table.namespace for table in user_rules.rules.tables)
    services = (
        host.split(".")[1]
        for host in user_rules.known_hosts.world.services
        if host.endswith(CLUSTER_DOMAIN)
    )
    return list(dict.fromkeys((_DEFAULT_NAMESPACE, *tables, *services)))


def _find_caller(text: str, user_rules: UserRules) -> tuple[str, Labels]:
    """Return the namespace and the labels of a calling workload."""
    namespace, slash, name = text.rpartition("/")
    if "=" in name:
        pairs = dict(_read_label(pair, text) for pair in name.split(","))
        return namespace or _DEFAULT_NAMESPACE, sort_labels(pairs)
    workloads = {
        (source_namespace, source.document.name): source.labels
        for source_namespace, sources in user_rules.known_hosts.world.pod_sources.items()
        for source in sources
    }
    fitting = [key for key in workloads if key[1] == name and (not slash or key[0] == namespace)]
    if len(fitting) == 1:
        return fitting[0][0], workloads[fitting[0]]
    names = [f"{owner}/{workload}" if slash else workload for owner, workload in workloads]
    if fitting:
        workload_names = ", ".join(sorted(f"{owner}/{workload}" for owner, workload in fitting))
        raise UsageError(f"--from {text}: several workloads have that name: {workload_names}")
    raise UsageError(
        f"--from {text}: no workload here has that name{suggest_nearest(text, names)}; "
        "labels are taken, too: NAMESPACE/app=web,version=v1"
    )


def _read_label(pair: str, text: str) -> tuple[str, str]:
    """Return key and value of a label."""
    key, equals, value = pair.partition("=")
    if not equals or not key:
        raise UsageError(f"--from {text}: expected KEY=VALUE, got '{pair}'")
    return key, value


def list_columns(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield rows of texts as lines, with each column but the last as wide as its longest text."""
    all_rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*all_rows, strict=True)][:-1]
    for row in all_rows:
        padded = [text.ljust(width) for text, width in zip(row, widths, strict=False)]
        yield "  ".join([*padded, row[-1]]).rstrip()
