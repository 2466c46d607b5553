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


def kube_inject(arguments: list[str]) -> None:
    assert "--filename=-" in arguments, arguments
    documents = [inject(one) for one in yaml.safe_load_all(sys.stdin.read())]
    sys.stdout.write("---\n".join(yaml.safe_dump(document) for document in documents) + "---\n")


def istio(arguments: list[str]) -> list[dict[str, Any]]:
    """Return what is to be installed, as `istioctl manifest generate` prints it."""
    (file,) = [
        word.removeprefix("--filename=") for word in arguments if word.startswith("--filename=")
    ]
    operator = yaml.safe_load(Path(file).read_text())
    spec, namespace = operator["spec"], operator["metadata"]["namespace"]
    rev = spec["revision"]
    revision_label = {"istio.io/rev": rev}
    istiod = {"app": "istiod", **revision_label}
    off = [name for name, component in spec["components"].items() if "False" in str(component)]
    crd, admission = "apiextensions.k8s.io/v1", "admissionregistration.k8s.io/v1"
    bodies = [
        make_body(
            "rbac.authorization.k8s.io/v1", "ClusterRole", "", f"istiod-{rev}-{namespace}", {}
        ),
        make_body("v1", "ConfigMap", namespace, f"istio-{rev}", revision_label),
        make_body("v1", "Service", namespace, f"istiod-{rev}", istiod),
        make_body("apps/v1", "Deployment", namespace, f"istiod-{rev}", istiod),
        make_body(
            admission,
            "MutatingWebhookConfiguration",
            "",
            f"istio-sidecar-injector-{rev}",
            revision_label,
        ),
    ]
    if "base" not in off:
        for name in (
            "virtualservices.networking.istio.io",
            "peerauthentications.security.istio.io",
        ):
            bodies.insert(0, make_body(crd, "CustomResourceDefinition", "", name, {}))
        bodies.append(
            make_body("v1", "ServiceAccount", namespace, "istio-reader-service-account", {})
        )
    if "ingressGateways" not in off and spec["profile"] != "minimal":
        bodies.append(
            make_body("apps/v1", "Deployment", namespace, "istio-ingressgateway", revision_label)
        )
        bodies.append(make_body("v1", "Service", namespace, "istio-ingressgateway", revision_label))
    return bodies


def make_body(
    api_version: str, kind: str, namespace: str, name: str, labels: dict[str, str]
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": labels}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def identify(body: dict[str, Any]) -> tuple[str, str, str]:
    metadata = body["metadata"]
    return body["kind"], metadata.get("namespace", ""), metadata["name"]


def list_istiod_objects(namespace: str, namespaces: list[str]) -> list[dict[str, Any]]:
    """Return what an istiod in `namespace` writes by itself, as seen on a real one of 1.31."""
    bodies = [
        make_body("v1", "ConfigMap", name, config, {"istio.io/config": "true"})
        for name in namespaces
        for config in ("istio-ca-root-cert", "istio-ca-crl")
    ]
    bodies += [
        make_body("v1", "ConfigMap", namespace, name, {})
        for name in ("istio-leader", "istio-namespace-controller-election")
    ]
    bodies.append(
        make_body("coordination.k8s.io/v1", "Lease", namespace, "istio-status-leader", {})
    )
    bodies.append(make_body("v1", "Secret", namespace, "istio-ca-secret", {}))
    for body in bodies:
        body["metadata"]["managedFields"] = [{"manager": "pilot-discovery", "operation": "Update"}]
    return bodies


def gateway_classes() -> list[dict[str, Any]]:
    """Return the classes that istiod makes, once there is a definition of them."""
    bodies = []
    for name, controller in (
        ("istio", "gateway-controller"),
        ("istio-remote", "unmanaged-gateway"),
    ):
        body = make_body("gateway.networking.k8s.io/v1", "GatewayClass", "", name, {})
        body["metadata"]["managedFields"] = [{"manager": "pilot-discovery", "operation": "Update"}]
        bodies.append({**body, "spec": {"controllerName": f"istio.io/{controller}"}})
    return bodies


def manifest(arguments: list[str]) -> None:
    assert arguments[0] == "generate", arguments
    sys.stdout.write("---\n".join(yaml.safe_dump(body) for body in istio(arguments)))


def install(arguments: list[str]) -> None:
    """Install, and do what the pods of istiod do then."""
    assert "--skip-confirmation" in arguments, arguments
    file = Path(os.environ["FAKE_CLUSTER"])
    cluster = json.loads(file.read_text())
    bodies = istio(arguments)
    for body in bodies:
        namespace = body["metadata"].get("namespace", "")
        if namespace and not any(was["metadata"]["name"] == namespace for was in cluster):
            cluster.append(make_body("v1", "Namespace", "", namespace, {}))
        cluster.append(body)
        if body["kind"] == "Deployment":
            name, labels = body["metadata"]["name"], body["metadata"]["labels"]
            pod = make_body("v1", "Pod", namespace, f"{name}-1", labels)
            pod["metadata"]["ownerReferences"] = [{"name": name}]
            ready = os.environ.get("FAKE_ISTIOCTL_FAILS") != "install"
            status = [{"type": "Ready", "status": "True" if ready else "False"}]
            pod["status"] = {"phase": "Running" if ready else "Pending", "conditions": status}
            if reason := os.environ.get("FAKE_ISTIOCTL_NO_IMAGE"):
                waiting = {"reason": reason, "message": f'Back-off pulling image "{name}:9"'}
                container = {"name": "discovery", "ready": False, "state": {"waiting": waiting}}
                pod["status"] = {"phase": "Pending", "containerStatuses": [container]}
            rev = labels["istio.io/rev"]
            lease = make_body(
                "coordination.k8s.io/v1", "Lease", namespace, f"istio-gateway-{rev}", {}
            )
            names = [was["metadata"]["name"] for was in cluster if was["kind"] == "Namespace"]
            classes = gateway_classes() if GATEWAY_CLASSES in str(cluster) else []
            existing = [identify(was) for was in cluster]
            istiod_objects = [lease, *list_istiod_objects(namespace, names), *classes]
            cluster += [
                pod,
                *(
                    istiod_object
                    for istiod_object in istiod_objects
                    if identify(istiod_object) not in existing
                ),
            ]
    new = file.with_suffix(".new")  # whoever watches reads the one or the other
    new.write_text(json.dumps(cluster))
    new.replace(file)
    if "FAKE_ISTIOCTL_NO_IMAGE" in os.environ:
        Path(os.environ["FAKE_ISTIOCTL_LOG"]).with_suffix(".pid").write_text(str(os.getpid()))
        time.sleep(PATIENCE)


def main() -> int:
    verb, *arguments = sys.argv[1:]
    with Path(os.environ["FAKE_ISTIOCTL_LOG"]).open("a") as log:
        log.write(json.dumps([verb, *arguments]) + "\n")
    if verb == os.environ.get("FAKE_ISTIOCTL_FAILS"):
        sys.stderr.write(f"Error: {verb}: no such thing\n")
        if verb == "install":
            install(arguments)
        return 1
    {"kube-inject": kube_inject, "manifest": manifest, "install": install}[verb](arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
