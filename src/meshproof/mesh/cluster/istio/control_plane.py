"""Whether the control plane does its work: promise 7, one aspect at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.base.waiting import wait_for
from meshproof.mesh.cluster.api.client import Kube, Object
from meshproof.mesh.cluster.api.port_forward import get_from_pod
from meshproof.mesh.cluster.istio import versions
from meshproof.mesh.cluster.istio.istio import Istio, list_istiods
from meshproof.mesh.cluster.istio.istioctl import HOW_TO_GET, Istioctl
from meshproof.mesh.cluster.proxies import proxies, query
from meshproof.mesh.cluster.proxies.sync import MONITORING_PORT, SyncStatus
from meshproof.mesh.cluster.run import workloads
from meshproof.mesh.protocol import Aspect, AspectReport

#: "Conflicting gateways": a run's gateways share its one host, and the ingress merges them. Beside
#: another run the analyzer calls that a conflict with gateways of other hosts, too.
_CONFLICTING_GATEWAYS = "IST0145"


#: What `istioctl analyze` reads beside routing; where it may not it waits in vain, and says little.
_ANALYZED = (("", "secrets"), ("", "configmaps"), ("", "pods"))
_NO_RIGHT_TO_ANALYZE = (
    "istioctl analyze was not run: this user has no right to list Secrets, ConfigMaps and pods of "
    "the whole cluster, which it reads"
)


@dataclass
class ControlPlane:
    """An istiod and what of a run hangs on it: its namespaces and the label of its objects."""

    kube: Kube
    istio: Istio
    istioctl: Istioctl
    namespaces: Sequence[str]
    labels: str

    def inspect(self, aspect: Aspect) -> AspectReport:
        """Look at one aspect now; one that takes a moment to come right is waited for."""
        looks: dict[Aspect, Callable[[], AspectReport]] = {
            Aspect.READY: self._check_ready,
            Aspect.INJECTION: self._check_injection,
            Aspect.IN_SYNC: self._check_sync,
            Aspect.ACCEPTED: self._check_accepted,
            Aspect.ANALYSIS: self._check_analysis,
            Aspect.VERSIONS: self._check_versions,
        }
        return looks[aspect]()

    def notes(self) -> list[str]:
        """Return what a report says of versions: of the proxies, of istioctl, and any skew."""
        found = self._read_proxy_versions()
        client = self.istioctl.version()
        said = [f"proxies {versions.summarize_versions(found.values())}"]
        said += [f"istioctl {client}"] if client else []
        return said + [
            f"skew: {one}" for one in versions.find_skew(self.istio.version, found, client)
        ]

    def proxy_status(self) -> list[str]:
        """Return a line for each proxy: its version, and whether it has what istiod has sent."""
        found = self._read_sync()
        names = [str(one) for one in self._list_proxies()]
        versions_of = {name: one.version for name, one in found.proxies.items()}
        return [
            f"{name} {versions_of.get(name) or '-'} "
            f"{'; '.join(found.faults([name])).removeprefix(f'{name}: ') or 'SYNCED'}"
            for name in names
        ]

    def _list_pods(self) -> list[Object]:
        return workloads.list_pods(self.kube, self.namespaces, self.labels)

    def _list_proxies(self) -> list[proxies.Proxy]:
        return [*proxies.sidecar_proxies(self._list_pods()), *self.istio.list_gateways(self.kube)]

    def _describe_missing_gateway(self) -> list[str]:
        """Return that there is no gateway, which serves every visit, to look at."""
        there = self.istio.list_gateways(self.kube)
        return [] if there else [self.istio.explain_missing_gateway(self.kube)]

    def _check_ready(self) -> AspectReport:
        """Every istiod of the revision and every pod of the gateway, one at least, is ready.

        One that starts is waited for, one that ends is none of them.
        """
        found: list[Object] = []
        late: list[str] = []
        wrong: list[str] = []

        def look() -> bool | None:
            pods = _without_terminating(self.istio.list_pods(self.kube))
            found[:] = [*pods, *_without_terminating(self.istio.list_gateway_pods(self.kube))]
            late[:] = [words for pod in found for words in workloads.describe_unready(pod)]
            wrong[:] = [] if pods else [f"there is no istiod in namespace {self.istio.namespace}"]
            wrong.extend(self._describe_missing_gateway())
            return None if late else True

        _wait_until_right(look, late)
        return AspectReport(len(found), (*late, *wrong))

    def _check_injection(self) -> AspectReport:
        """Every pod of the run has a sidecar, and it is ready."""
        pods = self._list_pods()
        bare = [_pod_name(pod) for pod in pods if not proxies.has_sidecar(pod)]
        wrong = [f"{name} has no sidecar" for name in bare]
        wrong += [
            f"{_pod_name(pod)}: its sidecar is not ready"
            for pod in pods
            if _pod_name(pod) not in bare
            and not workloads.is_container_ready(pod, proxies.CONTAINER)
        ]
        return AspectReport(len(pods), tuple(wrong))

    def _read_sync(self) -> SyncStatus:
        """Return what every istiod says; a proxy may hang on any of them, of any revision."""
        pods = filter(proxies.is_running, list_istiods(self.kube, self.istio.namespace))
        asked = [proxies.Proxy(str(one["metadata"]["name"]), self.istio.namespace) for one in pods]
        found = SyncStatus()
        for said in query.query_all(self.kube, asked, self._read_syncz).values():
            if isinstance(said, str):
                found.add(said)
        return found

    def _read_syncz(self, istiod: proxies.Proxy) -> str:
        return get_from_pod(
            self.kube, istiod.pod, istiod.namespace, MONITORING_PORT, "/debug/syncz"
        )

    def _check_sync(self) -> AspectReport:
        """Every proxy that there is (pods of a gateway come and go) has what istiod has sent."""
        names: list[str] = []
        wrong: list[str] = []

        def look() -> bool | None:
            names[:] = [str(one) for one in self._list_proxies()]
            wrong[:] = self._read_sync().faults(names)
            return None if any("NACK" not in one for one in wrong) else True

        _wait_until_right(look, wrong)
        return AspectReport(len(names), (*wrong, *self._describe_missing_gateway()))

    def _check_accepted(self) -> AspectReport:
        """No proxy shows an update that it has refused."""
        answers = query.query_all(self.kube, self._list_proxies(), self._read_refusals).values()
        found = [lines for lines in answers if not isinstance(lines, NotReady)]
        wrong = [line for lines in found for line in lines]
        return AspectReport(len(found), (*wrong, *self._describe_missing_gateway()))

    def _read_refusals(self, proxy: proxies.Proxy) -> list[str]:
        text = get_from_pod(
            self.kube, proxy.pod, proxy.namespace, proxies.ADMIN_PORT, "/config_dump"
        )
        return [f"{proxy}: {words}" for words in find_refusals(json.loads(text))]

    def _check_analysis(self) -> AspectReport:
        if not self.istioctl.path:
            return AspectReport(0, lacking=HOW_TO_GET)
        if not all(self.kube.has_right("list", *one) for one in _ANALYZED):
            return AspectReport(0, lacking=_NO_RIGHT_TO_ANALYZE)
        found = [
            one
            for name in self.namespaces
            for one in self.istioctl.analyze(name)
            if one["code"] != _CONFLICTING_GATEWAYS
        ]
        return AspectReport(
            len(self.namespaces),
            tuple(format_message(one) for one in found if one["level"] == "Error"),
            notes=tuple(format_message(one) for one in found if one["level"] == "Warning"),
        )

    def _read_proxy_versions(self) -> dict[str, str]:
        known = self._read_sync().proxies
        names = [str(one) for one in self._list_proxies()]
        return {name: known[name].version for name in names if name in known}

    def _check_versions(self) -> AspectReport:
        found = self._read_proxy_versions()
        wrong = versions.find_skew(self.istio.version, found, self.istioctl.version())
        return AspectReport(len(found), tuple(wrong))


def _wait_until_right(look: Callable[[], bool | None], wrong: Sequence[str]) -> None:
    """Look until it is right, or what is `wrong` has had its time."""
    try:
        wait_for(look, timeouts.CONFIG_SERVED, lambda: "not in time", timeouts.POLL_SLOW)
    except NotReady:
        if not wrong:
            raise


def _without_terminating(pods: Sequence[Object]) -> list[Object]:
    return [one for one in pods if not one["metadata"].get("deletionTimestamp")]


def find_refusals(dump: Any) -> Iterator[str]:
    """Yield what a proxy's config dump says of updates that it has refused, with Envoy's reason.

    Source: Envoy API, admin.v3.UpdateFailureState; gone after the next update that is taken.
    """
    if isinstance(dump, list):
        for one in dump:
            yield from find_refusals(one)
    elif isinstance(dump, dict):
        state = dump.get("error_state")
        if isinstance(state, dict) and state.get("details"):
            yield f"it refuses {dump.get('name', 'an update')}: {state['details'].strip()}"
        for key, one in dump.items():
            if key != "error_state":
                yield from find_refusals(one)


def format_message(found: Object) -> str:
    """Return a message of istiod's analyzers as one line."""
    return f"{found['code']} {found.get('origin', '')}: {found['message']}"


def _pod_name(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
