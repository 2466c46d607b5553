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
        checks: dict[Aspect, Callable[[], AspectReport]] = {
            Aspect.READY: self._check_ready,
            Aspect.INJECTION: self._check_injection,
            Aspect.IN_SYNC: self._check_sync,
            Aspect.ACCEPTED: self._check_accepted,
            Aspect.ANALYSIS: self._check_analysis,
            Aspect.VERSIONS: self._check_versions,
        }
        return checks[aspect]()

    def notes(self) -> list[str]:
        """Return what a report says of versions: of the proxies, of istioctl, and any skew."""
        proxy_versions = self._read_proxy_versions()
        istioctl_version = self.istioctl.version()
        notes = [f"proxies {versions.summarize_versions(proxy_versions.values())}"]
        notes += [f"istioctl {istioctl_version}"] if istioctl_version else []
        return notes + [
            f"skew: {difference}"
            for difference in versions.find_skew(
                self.istio.version, proxy_versions, istioctl_version
            )
        ]

    def proxy_status(self) -> list[str]:
        """Return a line for each proxy: its version, and whether it has what istiod has sent."""
        sync_status = self._read_sync()
        names = [str(proxy) for proxy in self._list_proxies()]
        versions_of = {name: status.version for name, status in sync_status.proxies.items()}
        return [
            f"{name} {versions_of.get(name) or '-'} "
            f"{'; '.join(sync_status.faults([name])).removeprefix(f'{name}: ') or 'SYNCED'}"
            for name in names
        ]

    def _list_pods(self) -> list[Object]:
        return workloads.list_pods(self.kube, self.namespaces, self.labels)

    def _list_proxies(self) -> list[proxies.Proxy]:
        return [*proxies.sidecar_proxies(self._list_pods()), *self.istio.list_gateways(self.kube)]

    def _describe_missing_gateway(self) -> list[str]:
        """Return that there is no gateway, which serves every visit, to look at."""
        gateways = self.istio.list_gateways(self.kube)
        return [] if gateways else [self.istio.explain_missing_gateway(self.kube)]

    def _check_ready(self) -> AspectReport:
        """Every istiod of the revision and every pod of the gateway, one at least, is ready.

        One that starts is waited for, one that ends is none of them.
        """
        checked_pods: list[Object] = []
        unready: list[str] = []
        faults: list[str] = []

        def poll() -> bool | None:
            istiod_pods = _without_terminating(self.istio.list_pods(self.kube))
            checked_pods[:] = [
                *istiod_pods,
                *_without_terminating(self.istio.list_gateway_pods(self.kube)),
            ]
            unready[:] = [
                reason for pod in checked_pods for reason in workloads.describe_unready(pod)
            ]
            faults[:] = (
                [] if istiod_pods else [f"there is no istiod in namespace {self.istio.namespace}"]
            )
            faults.extend(self._describe_missing_gateway())
            return None if unready else True

        _wait_until_right(poll, unready)
        return AspectReport(len(checked_pods), (*unready, *faults))

    def _check_injection(self) -> AspectReport:
        """Every pod of the run has a sidecar, and it is ready."""
        pods = self._list_pods()
        uninjected = [_pod_name(pod) for pod in pods if not proxies.has_sidecar(pod)]
        faults = [f"{name} has no sidecar" for name in uninjected]
        faults += [
            f"{_pod_name(pod)}: its sidecar is not ready"
            for pod in pods
            if _pod_name(pod) not in uninjected
            and not workloads.is_container_ready(pod, proxies.CONTAINER)
        ]
        return AspectReport(len(pods), tuple(faults))

    def _read_sync(self) -> SyncStatus:
        """Return what every istiod says; a proxy may hang on any of them, of any revision."""
        pods = filter(proxies.is_running, list_istiods(self.kube, self.istio.namespace))
        istiod_proxies = [
            proxies.Proxy(str(pod["metadata"]["name"]), self.istio.namespace) for pod in pods
        ]
        sync_status = SyncStatus()
        for result in query.query_all(self.kube, istiod_proxies, self._read_syncz).values():
            if isinstance(result, str):
                sync_status.add(result)
        return sync_status

    def _read_syncz(self, istiod: proxies.Proxy) -> str:
        return get_from_pod(
            self.kube, istiod.pod, istiod.namespace, MONITORING_PORT, "/debug/syncz"
        )

    def _check_sync(self) -> AspectReport:
        """Every proxy that there is (pods of a gateway come and go) has what istiod has sent."""
        names: list[str] = []
        faults: list[str] = []

        def poll() -> bool | None:
            names[:] = [str(proxy) for proxy in self._list_proxies()]
            faults[:] = self._read_sync().faults(names)
            return None if any("NACK" not in fault for fault in faults) else True

        _wait_until_right(poll, faults)
        return AspectReport(len(names), (*faults, *self._describe_missing_gateway()))

    def _check_accepted(self) -> AspectReport:
        """No proxy shows an update that it has refused."""
        results = query.query_all(self.kube, self._list_proxies(), self._read_refusals).values()
        refusals = [lines for lines in results if not isinstance(lines, NotReady)]
        faults = [line for lines in refusals for line in lines]
        return AspectReport(len(refusals), (*faults, *self._describe_missing_gateway()))

    def _read_refusals(self, proxy: proxies.Proxy) -> list[str]:
        dump = get_from_pod(
            self.kube, proxy.pod, proxy.namespace, proxies.ADMIN_PORT, "/config_dump"
        )
        return [f"{proxy}: {refusal}" for refusal in find_refusals(json.loads(dump))]

    def _check_analysis(self) -> AspectReport:
        if not self.istioctl.path:
            return AspectReport(0, lacking=HOW_TO_GET)
        if not all(self.kube.has_right("list", *resource) for resource in _ANALYZED):
            return AspectReport(0, lacking=_NO_RIGHT_TO_ANALYZE)
        messages = [
            analysis
            for name in self.namespaces
            for analysis in self.istioctl.analyze(name)
            if analysis["code"] != _CONFLICTING_GATEWAYS
        ]
        return AspectReport(
            len(self.namespaces),
            tuple(format_message(message) for message in messages if message["level"] == "Error"),
            notes=tuple(
                format_message(message) for message in messages if message["level"] == "Warning"
            ),
        )

    def _read_proxy_versions(self) -> dict[str, str]:
        statuses = self._read_sync().proxies
        names = [str(proxy) for proxy in self._list_proxies()]
        return {name: statuses[name].version for name in names if name in statuses}

    def _check_versions(self) -> AspectReport:
        proxy_versions = self._read_proxy_versions()
        faults = versions.find_skew(self.istio.version, proxy_versions, self.istioctl.version())
        return AspectReport(len(proxy_versions), tuple(faults))


def _wait_until_right(poll: Callable[[], bool | None], faults: Sequence[str]) -> None:
    """Look until it is right, or what is `faults` has had its time."""
    try:
        wait_for(poll, timeouts.CONFIG_SERVED, lambda: "not in time", timeouts.POLL_SLOW)
    except NotReady:
        if not faults:
            raise


def _without_terminating(pods: Sequence[Object]) -> list[Object]:
    return [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]


def find_refusals(dump: Any) -> Iterator[str]:
    """Yield what a proxy's config dump says of updates that it has refused, with Envoy's reason.

    Source: Envoy API, admin.v3.UpdateFailureState; gone after the next update that is taken.
    """
    if isinstance(dump, list):
        for child in dump:
            yield from find_refusals(child)
    elif isinstance(dump, dict):
        state = dump.get("error_state")
        if isinstance(state, dict) and state.get("details"):
            yield f"it refuses {dump.get('name', 'an update')}: {state['details'].strip()}"
        for key, child in dump.items():
            if key != "error_state":
                yield from find_refusals(child)


def format_message(analysis: Object) -> str:
    """Return a message of istiod's analyzers as one line."""
    return f"{analysis['code']} {analysis.get('origin', '')}: {analysis['message']}"


def _pod_name(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
