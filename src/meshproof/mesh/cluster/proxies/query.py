"""Queries many pods at once, while some of them come and go (an autoscaler, a node's drain)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.proxies.proxies import AT_ONCE, Proxy, is_running
from meshproof.mesh.cluster.run import workloads

T = TypeVar("T")


def query_all(
    kube: Kube, proxies: Iterable[Proxy], ask: Callable[[Proxy], T]
) -> dict[Proxy, T | NotReady]:
    """Return the result of `ask` for each proxy; the error for one that is not ready yet.

    A proxy that does not answer because its pod is gone or ends is left out: it takes no requests
    any more. Raises NotReady when a ready one does not answer.
    """

    def query_one(proxy: Proxy) -> T | NotReady | None:
        try:
            return ask(proxy)
        except NotReady as error:
            pod = kube.get("v1", "Pod", proxy.pod, proxy.namespace)
            if pod is None or not is_running(pod):
                return None
            if [*workloads.describe_unready(pod)]:
                return error
            raise

    proxies = list(proxies)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = dict(zip(proxies, pool.map(query_one, proxies), strict=True))
    return {proxy: result for proxy, result in results.items() if result is not None}
