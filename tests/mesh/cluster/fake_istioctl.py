"""A stand-in for istioctl: `kube-inject`, `manifest generate` and `install` as of Istio 1.31.

What is installed goes into a stand-in for a cluster, the file $FAKE_CLUSTER (`fake_kube.py`): the
same names and labels as the real one gives, a few objects in place of twenty.

A workload whose pods say `sidecar.istio.io/inject: "false"` is left as it is, as the real one does.
The words of each call go to $FAKE_ISTIOCTL_LOG; $FAKE_ISTIOCTL_FAILS has the verb that fails. With
$FAKE_ISTIOCTL_NO_IMAGE the pods wait for their images, for that reason, and it waits, too.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import yaml

GATEWAY_CLASSES = "gatewayclasses.gateway.networking.k8s.io"
#: Seconds in which the real one waits for pods.
PATIENCE = 280
PROXY = {"name": "istio-proxy", "image": "registry.istio.io/release/proxyv2:1.31.0"}


def inject(body: dict[str, Any]) -> dict[str, Any]:
    template = body["spec"]["template"]
    labels = template["metadata"].setdefault("labels", {})
    if labels.get("sidecar.istio.io/inject") != "false":
        template["spec"].setdefault("initContainers", []).append(PROXY)
        labels["service.istio.io/canonical-name"] = labels.get("app", body["metadata"]["name"])
    template["metadata"]["creationTimestamp"] = None
    return {**body, "status": {}}


def kube_inject(words: list[str]) -> None:
    assert "--filename=-" in words, words
    found = [inject(one) for one in yaml.safe_load_all(sys.stdin.read())]
    sys.stdout.write("---\n".join(yaml.safe_dump(one) for one in found) + "---\n")


def istio(words: list[str]) -> list[dict[str, Any]]:
    """Return what is to be installed, as `istioctl manifest generate` prints it."""
    (file,) = [word.removeprefix("--filename=") for word in words if word.startswith("--filename=")]
    operator = yaml.safe_load(Path(file).read_text())
    spec, place = operator["spec"], operator["metadata"]["namespace"]
    rev = spec["revision"]
    own = {"istio.io/rev": rev}
    istiod = {"app": "istiod", **own}
    off = [name for name, one in spec["components"].items() if "False" in str(one)]
    crd, admission = "apiextensions.k8s.io/v1", "admissionregistration.k8s.io/v1"
    found = [
        made("rbac.authorization.k8s.io/v1", "ClusterRole", "", f"istiod-{rev}-{place}", {}),
        made("v1", "ConfigMap", place, f"istio-{rev}", own),
        made("v1", "Service", place, f"istiod-{rev}", istiod),
        made("apps/v1", "Deployment", place, f"istiod-{rev}", istiod),
        made(admission, "MutatingWebhookConfiguration", "", f"istio-sidecar-injector-{rev}", own),
    ]
    if "base" not in off:
        for name in (
            "virtualservices.networking.istio.io",
            "peerauthentications.security.istio.io",
        ):
            found.insert(0, made(crd, "CustomResourceDefinition", "", name, {}))
        found.append(made("v1", "ServiceAccount", place, "istio-reader-service-account", {}))
    if "ingressGateways" not in off and spec["profile"] != "minimal":
        found.append(made("apps/v1", "Deployment", place, "istio-ingressgateway", own))
        found.append(made("v1", "Service", place, "istio-ingressgateway", own))
    return found


def made(
    api_version: str, kind: str, namespace: str, name: str, labels: dict[str, str]
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": labels}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def place_of(one: dict[str, Any]) -> tuple[str, str, str]:
    metadata = one["metadata"]
    return one["kind"], metadata.get("namespace", ""), metadata["name"]


def written(place: str, namespaces: list[str]) -> list[dict[str, Any]]:
    """Return what an istiod in `place` writes by itself, as seen on a real one of 1.31."""
    found = [
        made("v1", "ConfigMap", name, config, {"istio.io/config": "true"})
        for name in namespaces
        for config in ("istio-ca-root-cert", "istio-ca-crl")
    ]
    found += [
        made("v1", "ConfigMap", place, name, {})
        for name in ("istio-leader", "istio-namespace-controller-election")
    ]
    found.append(made("coordination.k8s.io/v1", "Lease", place, "istio-status-leader", {}))
    found.append(made("v1", "Secret", place, "istio-ca-secret", {}))
    for one in found:
        one["metadata"]["managedFields"] = [{"manager": "pilot-discovery", "operation": "Update"}]
    return found


def gateway_classes() -> list[dict[str, Any]]:
    """Return the classes that istiod makes, once there is a definition of them."""
    found = []
    for name, controller in (
        ("istio", "gateway-controller"),
        ("istio-remote", "unmanaged-gateway"),
    ):
        one = made("gateway.networking.k8s.io/v1", "GatewayClass", "", name, {})
        one["metadata"]["managedFields"] = [{"manager": "pilot-discovery", "operation": "Update"}]
        found.append({**one, "spec": {"controllerName": f"istio.io/{controller}"}})
    return found


def manifest(words: list[str]) -> None:
    assert words[0] == "generate", words
    sys.stdout.write("---\n".join(yaml.safe_dump(one) for one in istio(words)))


def install(words: list[str]) -> None:
    """Install, and do what the pods of istiod do then."""
    assert "--skip-confirmation" in words, words
    file = Path(os.environ["FAKE_CLUSTER"])
    cluster = json.loads(file.read_text())
    found = istio(words)
    for one in found:
        place = one["metadata"].get("namespace", "")
        if place and not any(was["metadata"]["name"] == place for was in cluster):
            cluster.append(made("v1", "Namespace", "", place, {}))
        cluster.append(one)
        if one["kind"] == "Deployment":
            name, labels = one["metadata"]["name"], one["metadata"]["labels"]
            pod = made("v1", "Pod", place, f"{name}-1", labels)
            pod["metadata"]["ownerReferences"] = [{"name": name}]
            ready = os.environ.get("FAKE_ISTIOCTL_FAILS") != "install"
            status = [{"type": "Ready", "status": "True" if ready else "False"}]
            pod["status"] = {"phase": "Running" if ready else "Pending", "conditions": status}
            if reason := os.environ.get("FAKE_ISTIOCTL_NO_IMAGE"):
                waiting = {"reason": reason, "message": f'Back-off pulling image "{name}:9"'}
                container = {"name": "discovery", "ready": False, "state": {"waiting": waiting}}
                pod["status"] = {"phase": "Pending", "containerStatuses": [container]}
            rev = labels["istio.io/rev"]
            lease = made("coordination.k8s.io/v1", "Lease", place, f"istio-gateway-{rev}", {})
            names = [was["metadata"]["name"] for was in cluster if was["kind"] == "Namespace"]
            classes = gateway_classes() if GATEWAY_CLASSES in str(cluster) else []
            there = [place_of(was) for was in cluster]
            more = [lease, *written(place, names), *classes]
            cluster += [pod, *(one for one in more if place_of(one) not in there)]
    new = file.with_suffix(".new")  # whoever watches reads the one or the other
    new.write_text(json.dumps(cluster))
    new.replace(file)
    if "FAKE_ISTIOCTL_NO_IMAGE" in os.environ:
        Path(os.environ["FAKE_ISTIOCTL_LOG"]).with_suffix(".pid").write_text(str(os.getpid()))
        time.sleep(PATIENCE)


def main() -> int:
    verb, *words = sys.argv[1:]
    with Path(os.environ["FAKE_ISTIOCTL_LOG"]).open("a") as log:
        log.write(json.dumps([verb, *words]) + "\n")
    if verb == os.environ.get("FAKE_ISTIOCTL_FAILS"):
        sys.stderr.write(f"Error: {verb}: no such thing\n")
        if verb == "install":
            install(words)
        return 1
    {"kube-inject": kube_inject, "manifest": manifest, "install": install}[verb](words)
    return 0


if __name__ == "__main__":
    sys.exit(main())
