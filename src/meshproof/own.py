"""A user's own rules: read from files, with the cases that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshproof import cases, manifest, rules
from meshproof.cases import Case, Plan
from meshproof.manifest import Document
from meshproof.rules.model import CLUSTER_DOMAIN, RuleSet
from meshproof.traffic import Request

#: Kinds that say what the rules are about; no rule stands in them.
_CONTEXT = (
    "ConfigMap",
    "DaemonSet",
    "Deployment",
    "Namespace",
    "Pod",
    "Service",
    "ServiceAccount",
    "StatefulSet",
)


@dataclass(frozen=True)
class OwnRules:
    """Rules, their cases, and full host -> ports of the services beside them."""

    rules: RuleSet
    plan: Plan
    ports: dict[str, tuple[int, ...]]


def load(paths: Sequence[str]) -> OwnRules:
    """Read rule files and folders; derive their cases.

    Raises BadRules with file and line for what cannot be read and when no case follows.
    """
    documents = manifest.read(paths)
    found = rules.read(one for one in documents if one.kind not in _CONTEXT)
    ports = dict(_ports(one) for one in documents if one.kind == "Service")
    return OwnRules(found, cases.derive(found), ports)


def _ports(service: Document) -> tuple[str, tuple[int, ...]]:
    entries = service.spec.need("ports").items()
    host = f"{service.name}.{service.namespace}.{CLUSTER_DOMAIN}"
    return host, tuple(one.need("port").integer(1, 65535) for one in entries)


def request(case: Case, port: int) -> Request:
    """Return the request of a case as HTTP: to the host (`port` 80 is left out) or authority."""
    call = case.call
    host = call.authority or ("" if call.host == "*" else call.host)
    if host and not call.authority and port != 80:
        host = f"{host}:{port}"
    query = "&".join(f"{name}={value}" for name, value in call.query)
    path = f"{call.path}?{query}" if query else call.path
    headers = (*((("Host", host),) if host else ()), *call.headers)
    return Request(path, headers, call.method)
