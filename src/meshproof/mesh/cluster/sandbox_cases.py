"""Which cases a sandbox cannot prove, and why: each is named in the report, none passes there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshproof.cases import Case
from meshproof.manifest import Document
from meshproof.mesh.cluster.sandbox_clients import MOST
from meshproof.mesh.cluster.sandbox_rules import ROUTING
from meshproof.names import MESH, Labels, is_service
from meshproof.rules.model import Route, RuleSet

#: The way in to a sandbox is this port of the cluster's ingress gateway.
GATEWAY_PORT = 80
_NAMESPACE = "default"
#: The conditions on an authority for which it is known what stands for it.
_REWRITTEN = ("exact", "present")


class Provable:
    """What of some rules a sandbox serves, and which of their cases it can prove."""

    def __init__(self, rules: RuleSet, cases: Iterable[Case]) -> None:
        self._rules = rules
        sources = dict.fromkeys(case.call.source for case in cases if case.call.source)
        self._sources = list(sources)[:MOST]
        self._documents = {
            (one.namespace, one.name, one.at.file): one
            for one in rules.documents
            if one.kind == "VirtualService" and one.group == ROUTING
        }

    def sees(self, document: Document, source: Labels) -> bool:
        """Say whether a VirtualService has an arm for callers with some labels."""
        key = document.namespace, document.name, document.at.file
        for one in self._rules.routes:
            if (one.namespace, one.name, one.at.file) == key:
                for match in (match for arm in one.arms for match in arm.matches or (None,)):
                    named = match is not None and match.source_namespace
                    if match is None or (not named and set(match.source) <= set(source)):
                        return True
        return False

    def document(self, case: Case) -> Document | None:
        """Return the VirtualService that a case follows from; None for another kind of rule."""
        route = self._route(case)
        return self._documents.get((route.namespace, route.name, route.at.file))

    def _route(self, case: Case) -> Route:
        return self._rules.routes[case.number]

    def why_not(self, case: Case) -> str:
        """Return why a case cannot be proven in a sandbox; empty when it can."""
        return next(self._reasons(case), "")

    def _reasons(self, case: Case) -> Iterator[str]:
        route, call = self._route(case), case.call
        matches = [match for arm in route.arms for match in arm.matches]
        if self.document(case) is None:
            yield "only a VirtualService is rewritten to a sandbox"
        told = (*case.shares, *case.answer.mirrors)
        outside = [one.host for one, _ in told if not is_service(one.host)]
        if call.gateway == MESH and not is_service(call.host):
            outside.append(call.host)
        if outside:
            yield f"no workload of a sandbox stands for {outside[0]}, which is outside the cluster"
        called = {one.source_namespace for one in matches}
        if call.namespace != _NAMESPACE or _NAMESPACE in called:
            yield "its caller has a namespace of a user, clients of a sandbox have one of the run"
        if call.source and call.source not in self._sources:
            yield f"a sandbox has at most {MOST} clients with labels of their own"
        if any(one.authority and one.authority.kind not in _REWRITTEN for one in matches):
            yield "hosts are others in a sandbox, and its authority is matched by a part"
        if case.answer.mirrors and call.gateway != MESH:
            yield "the gateway of the cluster does not count copies of requests for a sandbox"
        if call.gateway != MESH and call.port != GATEWAY_PORT:
            redirects = [arm.redirect for arm in route.arms if arm.redirect]
            if any(one.port for one in matches) or any(one.asked_port for one in redirects):
                yield f"it asks for port {call.port}; the way in to a sandbox is {GATEWAY_PORT}"
