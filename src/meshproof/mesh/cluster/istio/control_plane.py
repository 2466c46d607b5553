"""Checks whether the control plane works (promise 7), one aspect at a time."""

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
from meshproof.mesh.cluster.istio.istioctl import NO_ISTIOCTL, Istioctl
from meshproof.mesh.cluster.proxies import proxies, query
from meshproof.mesh.cluster.proxies.sync import MONITORING_PORT, SyncStatus
from meshproof.mesh.cluster.run import workloads
from meshproof.mesh.protocol import Aspect, AspectReport, Lack

#: "Conflicting gateways", which is ignored: a run's gateways share one host, and the ingress merges
#: them. Next to another run, the analyzer even reports gateways of other hosts.
_CONFLICTING_GATEWAYS = "IST0145"


#: What `istioctl analyze` reads besides routing; without the rights it only times out.
_ANALYZED = (("", "secrets"), ("", "configmaps"), ("", "pods"))
_NO_RIGHT_TO_ANALYZE = Lack(
    "istioctl analyze was not run: this user has no right to list Secrets, ConfigMaps and pods of "
    "the whole cluster, which it reads"
)


@dataclass
class ControlPlane:
    """An istiod and the run that depends on it: the run's namespaces and its label selector."""

    kube: Kube
    istio: Istio
    istioctl: Istioctl
    namespaces: Sequence[str]
    labels: str

    def inspect(self, aspect: Aspect) -> AspectReport:
        """Check one aspect now; wait where it needs a moment to become right."""
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
        """Return the versions of proxies and istioctl for the report, and any skew."""
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
        """Return a line for each proxy: its version, and SYNCED or what it has not acknowledged."""
        sync_status = self._read_sync()
        names = [str(proxy) for proxy in self._list_proxies()]
        versions_of = {name: status.version for name, status in sync_status.proxies.items()}
        return [
            f"{name} {versions_of.get(name) or '-'} "
            f"{'; '.join(sync_status.faults([name])).removeprefix(f'{name}: ') or 'SYNCED'}"
            for name in names
        ]

    def _list_pods(self) -> list[Object]:
        """Return the pods of the run."""
        return workloads.list_pods(self.kube, self.namespaces, self.labels)

    def _list_proxies(self) -> list[proxies.Proxy]:
        """Return the sidecars of the run and the proxies of the gateway."""
        return [*proxies.sidecar_proxies(self._list_pods()), *self.istio.list_gateways(self.kube)]

    def _describe_missing_gateway(self) -> list[str]:
        """Return a fault when no gateway runs: every visit comes in through it."""
        gateways = self.istio.list_gateways(self.kube)
        return [] if gateways else [self.istio.explain_missing_gateway(self.kube)]

    def _check_ready(self) -> AspectReport:
        """Check that an istiod and a gateway pod exist, and that every such pod is ready.

        Waits for pods that start; ignores pods that end.
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
        """Check that every pod of the run has a sidecar, and that it is ready."""
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
        """Read the proxy states of every istiod: a proxy is connected to one of any revision."""
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
        """Return the proxy states of one istiod as JSON."""
        return get_from_pod(
            self.kube, istiod.pod, istiod.namespace, MONITORING_PORT, "/debug/syncz"
        )

    def _check_sync(self) -> AspectReport:
        """Check that every proxy has acknowledged what istiod sent; gateway pods may change."""
        names: list[str] = []
        faults: list[str] = []

        def poll() -> bool | None:
            names[:] = [str(proxy) for proxy in self._list_proxies()]
            faults[:] = self._read_sync().faults(names)
            return None if any("NACK" not in fault for fault in faults) else True

        _wait_until_right(poll, faults)
        return AspectReport(len(names), (*faults, *self._describe_missing_gateway()))

    def _check_accepted(self) -> AspectReport:
        """Check that no proxy has refused an update."""
        results = query.query_all(self.kube, self._list_proxies(), self._read_refusals).values()
        refusals = [lines for lines in results if not isinstance(lines, NotReady)]
        faults = [line for lines in refusals for line in lines]
        return AspectReport(len(refusals), (*faults, *self._describe_missing_gateway()))

    def _read_refusals(self, proxy: proxies.Proxy) -> list[str]:
        """Return the updates that one proxy has refused."""
        dump = get_from_pod(
            self.kube, proxy.pod, proxy.namespace, proxies.ADMIN_PORT, "/config_dump"
        )
        return [f"{proxy}: {refusal}" for refusal in find_refusals(json.loads(dump))]

    def _check_analysis(self) -> AspectReport:
        """Run `istioctl analyze` on the namespaces: errors are faults, warnings are notes."""
        if not self.istioctl.path:
            return AspectReport(0, lack=NO_ISTIOCTL)
        if not all(self.kube.has_right("list", *resource) for resource in _ANALYZED):
            return AspectReport(0, lack=_NO_RIGHT_TO_ANALYZE)
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
        """Return proxy name -> version, for proxies that istiod knows."""
        statuses = self._read_sync().proxies
        names = [str(proxy) for proxy in self._list_proxies()]
        return {name: statuses[name].version for name in names if name in statuses}

    def _check_versions(self) -> AspectReport:
        """Check that the versions of istiod, the proxies and istioctl fit together."""
        proxy_versions = self._read_proxy_versions()
        faults = versions.find_skew(self.istio.version, proxy_versions, self.istioctl.version())
        return AspectReport(len(proxy_versions), tuple(faults))


def _wait_until_right(poll: Callable[[], bool | None], faults: Sequence[str]) -> None:
    """Poll until `poll` is satisfied, or until the time for the `faults` is over."""
    try:
        wait_for(poll, timeouts.CONFIG_SERVED, lambda: "not in time", timeouts.POLL_SLOW)
    except NotReady:
        if not faults:
            raise


def _without_terminating(pods: Sequence[Object]) -> list[Object]:
    """Return the pods that are not being deleted."""
    return [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]


def find_refusals(dump: Any) -> Iterator[str]:
    """Yield the updates that a proxy has refused, with Envoy's reason, from its config dump.

    Source: Envoy API, admin.v3.UpdateFailureState. The next accepted update clears it.
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
    """Return a message of istiod's analyzers as a line."""
    return f"{analysis['code']} {analysis.get('origin', '')}: {analysis['message']}"


def _pod_name(pod: Object) -> str:
    """Return `namespace/name` of a pod."""
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
