"""What a user's rules stand on: what --inventory adds, and what is stood in for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshproof.base.errors import BadRules, pluralize
from meshproof.base.names import is_service
from meshproof.documents.contents import Contents, name_object
from meshproof.documents.manifest import Document
from meshproof.inventory.gateway_pods import SCOPING_VARIABLE, is_operator
from meshproof.inventory.known_hosts import KnownHosts
from meshproof.inventory.world import Presence
from meshproof.mesh.echo.workloads import list_hosts, list_targets, split_host
from meshproof.rules.model import Proxy, RuleSet
from meshproof.user_rules import live
from meshproof.user_rules.rendering import read_rendered

if TYPE_CHECKING:
    from meshproof.mesh.protocol import ClusterOptions

#: At most this many hosts of one reason are named in a note.
_MAX_NAMES = 8


@dataclass(frozen=True)
class Inventory:
    """The objects of --inventory, and what of its files could not be read, by name with reason.

    `operators` are those that tell how Istio is installed.
    """

    documents: tuple[Document, ...] = ()
    unread: tuple[str, ...] = ()
    operators: tuple[Document, ...] = ()


def read_inventory(
    paths: Sequence[str], renders: bool, cluster_options: ClusterOptions | None = None
) -> Inventory:
    """Read the objects at files, folders and `cluster:NAMESPACE`, as those of rules are read.

    What cannot be read, or not without a guess, is named; paths without an object raise BadRules.
    """
    live_paths = [path for path in paths if live.is_live(path)]
    documents = live.read_documents(live_paths, cluster_options) if live_paths else []
    contents = read_rendered([path for path in paths if path not in live_paths], (), renders)
    documents += [*contents.documents, *contents.others]
    unread = [str(problem) for problem in contents.problems]
    unread += [
        f"{unserved.at}: {unserved.name}: {unserved.reason}"
        for unserved in contents.unserved
        if unserved.document is None
    ]
    unread += [
        f"{template.at}: a template of what it does not tell"
        for template in contents.files.templates
        if not template.kinds
    ]
    for variants in contents.variants:
        places = ", ".join(variant.at.with_origin for variant in variants)
        unread.append(f"{name_object(variants[0])}: {len(variants)} have this name ({places})")
    if paths and not documents:
        reasons = "".join(f"\n{reason}" for reason in unread)
        raise BadRules(f"--inventory {', '.join(paths)}: no Kubernetes objects found{reasons}")
    return Inventory(tuple(documents), tuple(unread), list_operators(contents))


def list_operators(contents: Contents) -> tuple[Document, ...]:
    """Return the objects of files that tell how Istio is installed; no mesh here serves them."""
    documents = (unserved.document for unserved in contents.unserved)
    return tuple(document for document in documents if document and is_operator(document))


def describe_gateways(rules: RuleSet) -> Iterator[str]:
    """Yield where the proxies of Gateways are taken to be, and what would keep them from these."""
    assumed: dict[Proxy, dict[str, None]] = {}
    distant: dict[Proxy, dict[str, None]] = {}
    for gateway in rules.gateways:
        for proxy in gateway.proxies:
            if proxy.is_assumed:
                assumed.setdefault(proxy, {})[gateway.name] = None
            elif proxy.namespace != gateway.name.partition("/")[0]:
                distant.setdefault(proxy, {})[gateway.name] = None
    for proxy, names in assumed.items():
        is_distant = any(name.partition("/")[0] != proxy.namespace for name in names)
        setting = f", and {SCOPING_VARIABLE} to be unset" if is_distant else ""
        yield (
            f"the proxies of {_name_gateways(names)} are taken to run in {proxy.namespace}, as no "
            f"pod with {proxy.name or 'istio=ingressgateway'} is known{setting}"
        )
    for proxy, names in distant.items():
        yield (
            f"the proxies of {_name_gateways(names)} run in {proxy.namespace}: "
            f"{SCOPING_VARIABLE} is taken to be unset"
        )


def _name_gateways(names: Iterable[str]) -> str:
    """Return the names of Gateways in words, the first of many."""
    unique = list(names)
    shown = ", ".join(unique[:_MAX_NAMES])
    more = f" and {len(unique) - _MAX_NAMES} more" if len(unique) > _MAX_NAMES else ""
    return f"Gateway{'s' if len(unique) > 1 else ''} {shown}{more}"


def describe_world(rules: RuleSet, known_hosts: KnownHosts) -> Iterator[str]:
    """Yield a note for each reason why hosts of the rules are stood in for, and what is unread."""
    world = known_hosts.world
    names_by_reason: dict[str, dict[str, None]] = {}
    for host in list_hosts(rules, known_hosts):
        state = world.describe_host(host)
        if not is_service(host) and state.presence is Presence.STOOD_IN:
            names_by_reason.setdefault(state.reason, {})[host] = None
    for target in list_targets(rules):
        state = world.describe_subset(target.host, target.labels)
        if state.presence is Presence.STOOD_IN:
            names = names_by_reason.setdefault(state.reason, {})
            is_of_subset = world.describe_host(target.host).presence is Presence.PRESENT
            name = ".".join(split_host(target.host)) if is_service(target.host) else target.host
            names[f"{name} {target.subset}" if is_of_subset else name] = None
    for reason, names in names_by_reason.items():
        shown = ", ".join(list(names)[:_MAX_NAMES])
        more = (
            f" and {pluralize(len(names) - _MAX_NAMES, 'other')}" if len(names) > _MAX_NAMES else ""
        )
        yield f"stood in for by echo workloads, as {reason}: {shown}{more}"
    yield from (f"not read: {reason}" for reason in (*world.unread, *world.unread_workloads))
