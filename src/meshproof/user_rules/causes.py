"""Says in words what a dead end is, and how to mend it."""

from __future__ import annotations

from collections.abc import Callable

from meshproof.base.names import CLUSTER_DOMAIN, is_service
from meshproof.documents.schema import find_closest_word
from meshproof.inventory.world import format_labels
from meshproof.oracle.dead_ends import DeadEnd, DeadEndKind
from meshproof.run.cause import Cause

_ELSEWHERE = "if it is kept elsewhere: --inventory PATH"


def explain_dead_end(dead_end: DeadEnd) -> Cause:
    """Return the cause of the cases that end at a dead end."""
    return _EXPLAIN[dead_end.kind](dead_end)


def _explain_absent_service(dead_end: DeadEnd) -> Cause:
    host, nearest = dead_end.destination.host, dead_end.state.nearest
    repairs = (f"host: {_shorten(nearest, host)}", _ELSEWHERE) if nearest else (_ELSEWHERE,)
    detail = f"other Services of its namespace are known{', such as ' if nearest else ''}"
    return Cause(
        f"no Service has the host {host}",
        dead_end.at.place,
        detail + (_shorten(nearest, host) if nearest else ""),
        repairs,
        "MP0507",
    )


def _explain_no_pods(dead_end: DeadEnd) -> Cause:
    return Cause(
        f"Service {dead_end.destination.owner} has no pods",
        (dead_end.state.at or dead_end.at).place,
        dead_end.state.reason,
        ("a selector that its pods' labels match", _ELSEWHERE.replace("it is", "they are")),
    )


def _explain_empty_subset(dead_end: DeadEnd) -> Cause:
    destination, state = dead_end.destination, dead_end.state
    pods = state.reason if not state.pods else f"its pods have {state.reason or 'none of these'}"
    return Cause(
        f"subset {destination.subset} of {destination.owner} selects no pod",
        (dead_end.subset_at or dead_end.at).place,
        f"wants {format_labels(destination.labels)}; {pods}",
        ("labels that its pods have", _ELSEWHERE.replace("it is", "they are")),
        "MP0504",
    )


def _explain_unseen_subset(dead_end: DeadEnd) -> Cause:
    return Cause(
        f"callers of namespace {dead_end.caller} see no DestinationRule with the subset of "
        f"{dead_end.destination.owner}",
        (dead_end.subset_at or dead_end.at).place,
        "a DestinationRule holds in its own namespace, or in that of the Service or of istiod for "
        "all callers that its exportTo names",
        ("the DestinationRule in the namespace of the Service", _ELSEWHERE),
        "MP0527",
    )


def _explain_undefined_subset(dead_end: DeadEnd) -> Cause:
    destination, names = dead_end.destination, dead_end.subset_names
    nearest = find_closest_word(destination.subset, names)
    return Cause(
        f"no DestinationRule defines subset {destination.subset} of {destination.owner}",
        dead_end.at.place,
        f"{'defined: ' + ', '.join(names) if names else 'none is defined'}, in what is read",
        (f"subset: {nearest}" if nearest else "add it to the subsets of a DestinationRule",),
        "MP0501" if names else "MP0502",
    )


def _explain_absent_port(dead_end: DeadEnd) -> Cause:
    ports = ", ".join(map(str, dead_end.ports))
    called = ", the one that was called" if dead_end.is_called_port else ""
    owner = "Service" if is_service(dead_end.destination.host) else "ServiceEntry"
    return Cause(
        f"{dead_end.destination.owner} has no port {dead_end.port}",
        dead_end.at.place,
        f"its {owner} has {ports}; port {dead_end.port} is asked for{called}",
        (f"port: {{number: {dead_end.ports[0]}}}",),
        "MP0510",
    )


def _explain_hidden(dead_end: DeadEnd) -> Cause:
    host, caller = dead_end.destination.host, dead_end.caller
    is_refused = dead_end.sidecar is not None and dead_end.sidecar.is_registry_only
    consequence = "refused" if is_refused else "sent past the rule (refused here)"
    return Cause(
        f"a Sidecar hides {host}, or the rule for it, from callers of namespace {caller}",
        dead_end.at.place,
        "no entry of its egress imports both: to these callers it is an unknown host, to which "
        f"requests are {consequence}",
        (
            f'egress: hosts: ["{_name_import(host, caller)}"]',
            f"if nobody in {caller} calls it: exportTo the namespaces that do",
        ),
    )


def _explain_plaintext(dead_end: DeadEnd) -> Cause:
    host, port = dead_end.destination.host, dead_end.port
    return Cause(
        f"plain HTTP is sent to port {port} of {host}, which speaks TLS",
        dead_end.at.place,
        "no DestinationRule says that the proxy makes TLS of it",
        (f"trafficPolicy: portLevelSettings: port {port}, tls: {{mode: SIMPLE}}",),
        "MP0606",
    )


def _name_import(host: str, caller: str) -> str:
    """Return the entry of an egress that imports a host and the rules of its namespace."""
    namespace = host.split(".")[1] if is_service(host) else caller
    return "./*" if namespace == caller else f"{namespace}/{host}"


_EXPLAIN: dict[DeadEndKind, Callable[[DeadEnd], Cause]] = {
    DeadEndKind.SERVICE: _explain_absent_service,
    DeadEndKind.PODS: _explain_no_pods,
    DeadEndKind.SUBSET: _explain_empty_subset,
    DeadEndKind.SUBSET_RULE: _explain_unseen_subset,
    DeadEndKind.SUBSET_NAME: _explain_undefined_subset,
    DeadEndKind.PORT: _explain_absent_port,
    DeadEndKind.IMPORT: _explain_hidden,
    DeadEndKind.TLS: _explain_plaintext,
}


def _shorten(host: str, other_host: str) -> str:
    """Return the short name of a host where the other one is of the same namespace."""
    name, _, rest = host.partition(".")
    is_near = rest == other_host.partition(".")[2] and rest.endswith(CLUSTER_DOMAIN)
    return name if is_near else host
