"""Certificates of the run for Gateways, as the Secrets in which istiod looks for them.

Sources: Istio docs, "Secure Gateways" (keys of a Secret); istiod gives a Secret only to a proxy
whose certificate says that it is of the Secret's namespace (Istio's pilot/pkg/xds/sds.go).
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterable, Sequence

from meshproof.base.names import ROOT_NAMESPACE, is_host_within
from meshproof.mesh.envoy.certificates import Authority
from meshproof.mesh.istiod.api import Object
from meshproof.oracle.case import Case


class GatewayCertificates:
    """Issues a certificate for each server of a Gateway where TLS ends, as one of `namespace`."""

    def __init__(
        self, authority: Authority, cases: Iterable[Case], namespace: str = ROOT_NAMESPACE
    ) -> None:
        self._authority = authority
        self._namespace = namespace
        #: The names that clients ask for, by the name of the Gateway.
        self._asked_names: dict[str, set[str]] = defaultdict(set)
        for tls in (case.call.tls for case in cases if case.call.tls):
            self._asked_names[tls.server.rpartition("#")[0]].add(tls.name)

    def make_secret(self, gateway: str, number: int, server_hosts: Sequence[str]) -> Object:
        """Return the Secret of a Gateway's server; its certificate has the server's hosts."""
        hosts = [host.rpartition("/")[2] for host in server_hosts]
        asked = [
            name
            for name in sorted(self._asked_names[gateway])
            if any(host == "*" or is_host_within(name, host) for host in hosts)
        ]
        names = dict.fromkeys((*(host for host in hosts if host != "*"), *asked))
        name = f"meshproof-{gateway.replace('/', '-')}-{number}"
        identity = self._authority.issue_for_names(name, names)
        files = {"tls.crt": identity.chain, "tls.key": identity.key, "ca.crt": identity.ca}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": self._namespace},
            "type": "kubernetes.io/tls",
            "data": {
                key: base64.b64encode(path.read_bytes()).decode() for key, path in files.items()
            },
        }
