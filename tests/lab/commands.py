"""Commands on the lab, as its users type them. Runs inside `lab exec`: KUBECONFIG is set."""

from __future__ import annotations

import os
import subprocess
import sys

#: Seconds that one run may take; they take less than one minute each on a free machine.
LONGEST = 400
#: Kinds of which a run makes objects, or might.
KINDS = (
    *("namespaces", "pods", "services", "deployments", "serviceaccounts", "roles"),
    *("rolebindings", "clusterroles", "clusterrolebindings", "cronjobs", "jobs"),
    *("gateways.networking.istio.io", "virtualservices", "destinationrules"),
    *("peerauthentications", "sidecars.networking.istio.io", "serviceentries"),
)


def kubectl(*words: str, text: str = "") -> str:
    """Return what kubectl prints. Raises CalledProcessError when it fails."""
    done = subprocess.run(
        ["kubectl", *words], input=text, capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode:
        raise RuntimeError(f"kubectl {' '.join(words)}: {done.stderr}")
    return done.stdout.strip()


def meshproof(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command; its output and errors are in `stdout`."""
    return subprocess.run(
        [sys.executable, "-m", "meshproof", *words],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=LONGEST,
    )


def snapshot() -> set[str]:
    """Return every object of the cluster of the kinds that a run makes: `pod/x` with its uid."""
    columns = "custom-columns=K:.kind,N:.metadata.namespace,NAME:.metadata.name,UID:.metadata.uid"
    return {
        line
        for line in kubectl(
            "get", ",".join(KINDS), "-A", "--no-headers", "-o", columns
        ).splitlines()
    }
