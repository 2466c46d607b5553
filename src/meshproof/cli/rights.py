"""The rights that a run needs, no more: what `meshproof rbac` prints.

A run makes its own namespaces, whose names nobody knows before, and RBAC grants by no prefix of a
name: what it does in them is granted for the cluster, and a policy of admission keeps it to them.
Rules of users are read in namespaces that are named. Source: Kubernetes docs, "Using RBAC
Authorization", "Validating Admission Policy", "Pod Security Standards", "CronJob".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from meshproof.mesh.cluster.api import pod_security
from meshproof.user_rules.live import KINDS, build_resource_name

Object = dict[str, Any]

#: Name of everything that is printed.
NAME = "meshproof"
_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io/v1"
#: Whether a request is about a namespace of a run (CEL): see `meshproof.mesh.cluster.api.objects`.
_OF_RUN = (
    "(request.resource.resource == 'namespaces' ? request.name : request.namespace)"
    f".startsWith('{NAME}-')"
)
#: To make objects, to see (and to save, where a run fails) what there is of them.
_MAKE = ("list", "create", "patch")
#: Kubernetes up to 1.34 asks for `get` where a websocket is opened, later ones for `create`.
_STREAM = ("create", "get")


@dataclass(frozen=True)
class Right:
    """One rule of a Role, and what it is for."""

    why: str
    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()

    @property
    def rule(self) -> Object:
        """The rule as RBAC has it."""
        found: Object = {"apiGroups": [self.group], "resources": list(self.resources)}
        if self.names:
            found["resourceNames"] = list(self.names)
        return {**found, "verbs": list(self.verbs)}


_BOTH = (
    Right(
        "the namespaces of a run, and those that a killed run has left",
        "",
        ("namespaces",),
        ("get", "list", "create", "patch", "delete"),
    ),
    Right(
        "the apps in them; the Services of the ingress gateway and of addons",
        "",
        ("services",),
        ("get", *_MAKE),
    ),
    Right("the apps in them", "", ("serviceaccounts",), _MAKE),
    Right("the apps in them, and whether they are up", "apps", ("deployments",), _MAKE),
    Right(
        "what a killed run has installed (its record)",
        "",
        ("configmaps",),
        ("get",),
        ("installed",),
    ),
    Right("pods of the run, of istiod, of the ingress gateway", "", ("pods",), ("get", "list")),
    Right("the config of proxies, what istiod says of them", "", ("pods/portforward",), _STREAM),
    Right("why an app does not come up", "", ("pods/log",), ("get",)),
    Right("why an app does not come up", "", ("events",), ("list",)),
    Right(
        "which revision of istiod injects, where there are several",
        "admissionregistration.k8s.io",
        ("mutatingwebhookconfigurations",),
        ("list",),
    ),
    Right(
        "rules, in the namespaces of the run",
        "networking.istio.io",
        ("destinationrules", "gateways", "virtualservices"),
        (*_MAKE, "delete"),
    ),
)
_PODS = Right(
    "probes, and the echo workloads of a sandbox, in the namespaces of the run",
    "",
    ("configmaps", "pods"),
    ("create", "patch"),
)
_HTTP_ROUTES = Right(
    "HTTPRoutes of a sandbox, in the namespaces of the run",
    "gateway.networking.k8s.io",
    ("httproutes",),
    _MAKE,
)
_TEST = (
    _PODS,
    Right("where spans are sent (mesh config)", "", ("configmaps",), ("get",)),
    Right(
        "the promise mtls, in the namespaces of the run",
        "security.istio.io",
        ("peerauthentications",),
        (*_MAKE, "delete"),
    ),
    Right(
        "tags of spans, in the namespaces of the run",
        "telemetry.istio.io",
        ("telemetries",),
        _MAKE,
    ),
    Right(
        "--mesh-way-in gateway-api, in the namespaces of the run",
        "gateway.networking.k8s.io",
        ("gateways", "httproutes"),
        ("get", *_MAKE, "delete"),
    ),
)
#: What a run is for -> what it needs in the cluster.
RIGHTS = {"smoke": _BOTH, "test": (*_BOTH, *_TEST)}
#: Where live rules are read: IngressClasses lie in no namespace.
_OF_INGRESSES = Right(
    "whether Istio serves an Ingress", "networking.k8s.io", ("ingressclasses",), ("get",)
)


def for_cluster(purpose: str, live: Sequence[str]) -> tuple[Right, ...]:
    """Return the rights in the whole cluster for a purpose; `live` as for `objects`."""
    rights = RIGHTS[purpose]
    more = (_OF_INGRESSES, _PODS, *((_HTTP_ROUTES,) if purpose == "smoke" else ()))
    return (*rights, *(one for one in more if live and one not in rights))


def reading() -> tuple[Right, ...]:
    """Return what reading the rules of a namespace needs there, by API group."""
    found: dict[str, list[str]] = {}
    for group, kind, _ in KINDS:
        found.setdefault(group, []).append(build_resource_name(kind))
    rights = [
        Right("live rules and what they are about", group, tuple(names), ("list",))
        for group, names in found.items()
    ]
    return (*rights, Right("whether the namespace is there", "", ("namespaces",), ("get",)))


def objects(purpose: str, namespace: str, live: Sequence[str]) -> list[Object]:
    """Return ServiceAccount, ClusterRole and binding; a Role for each namespace of live rules."""
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": namespace}
    cluster_name = f"{NAME}-{purpose}"
    found = [
        {"apiVersion": "v1", **_head("ServiceAccount", NAME, namespace)},
        _role("ClusterRole", cluster_name, "", for_cluster(purpose, live)),
        _binding("ClusterRole", cluster_name, "", subject),
    ]
    for one in live:
        found.append(_role("Role", f"{NAME}-rules", one, reading()))
        found.append(_binding("Role", f"{NAME}-rules", one, subject))
    return found


def policy(purpose: str, namespace: str, reached: Sequence[str]) -> list[Object]:
    """Return the policy, and its binding, by which the account changes nothing of others.

    What it creates, changes and deletes is in namespaces of a run, by their names. The nightly run
    reaches pods there and in the namespaces `reached` (those of istiod and of the gateway) alone;
    the gate's addons may be anywhere. It takes Kubernetes 1.30.
    """
    groups = sorted({right.group for right in RIGHTS["test"]})
    matched = [_matched(groups, ["CREATE", "UPDATE", "DELETE"], ["*"])]
    checks = [(f"request.operation == 'CONNECT' || {_OF_RUN}", "changes objects of its own runs")]
    if purpose == "smoke":
        matched.append(_matched([""], ["CONNECT"], ["pods/portforward"]))
        listed = ", ".join(f"'{one}'" for one in dict.fromkeys(reached))
        there = f"request.operation != 'CONNECT' || {_OF_RUN} || request.namespace in [{listed}]"
        checks.append((there, f"reaches pods of its own runs and of {', '.join(reached)}"))
    name, user = f"{NAME}-{purpose}", f"system:serviceaccount:{namespace}:{NAME}"
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": matched},
        "matchConditions": [
            {"name": "who", "expression": f"request.userInfo.username == '{user}'"}
        ],
        "validations": [
            {"expression": one, "message": f"{NAME} {words} alone", "reason": "Forbidden"}
            for one, words in checks
        ],
    }
    bound = {"policyName": name, "validationActions": ["Deny"]}
    kind = "ValidatingAdmissionPolicy"
    return [
        {"apiVersion": _ADMISSION, **_head(kind, name), "spec": spec},
        {"apiVersion": _ADMISSION, **_head(f"{kind}Binding", name), "spec": bound},
    ]


def _matched(groups: Sequence[str], operations: list[str], resources: list[str]) -> Object:
    return {
        "apiGroups": list(groups),
        "apiVersions": ["*"],
        "operations": operations,
        "resources": resources,
    }


def own_namespace() -> Object:
    """Return the namespace that everything is in where no other is named."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    body = {"apiVersion": "v1", **_head("Namespace", NAME)}
    body["metadata"]["labels"] = {**body["metadata"]["labels"], **labels}
    return body


def _head(kind: str, name: str, namespace: str = "") -> Object:
    metadata: Object = {"name": name, "labels": {"app.kubernetes.io/name": NAME}}
    if namespace:
        metadata["namespace"] = namespace
    return {"kind": kind, "metadata": metadata}


def _role(kind: str, name: str, namespace: str, rights: Sequence[Right]) -> Object:
    return {
        "apiVersion": f"{_RBAC}/v1",
        **_head(kind, name, namespace),
        "rules": [right.rule for right in rights],
    }


def _binding(kind: str, name: str, namespace: str, subject: Object) -> Object:
    return {
        "apiVersion": f"{_RBAC}/v1",
        **_head(f"{kind}Binding", name, namespace),
        "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": name},
        "subjects": [subject],
    }


def cron_job(namespace: str, image: str, schedule: str, words: Sequence[str]) -> Object:
    """Return the CronJob that runs `meshproof smoke`, within PodSecurity `restricted`.

    One run at a time, never repeated by itself: a run that is red is to be seen. Its pod stays
    outside the mesh, where a job with a sidecar would not end.
    """
    pod: Object = {
        "metadata": {
            "labels": {"app.kubernetes.io/name": NAME, "sidecar.istio.io/inject": "false"}
        },
        "spec": {
            "serviceAccountName": NAME,
            "restartPolicy": "Never",
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 120,  # it deletes its namespaces when it is ended
            "securityContext": {
                **pod_security.POD_CONTEXT,
                "fsGroup": pod_security.POD_CONTEXT["runAsGroup"],
            },
            "containers": [_container(image, words)],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }
    return {
        "apiVersion": "batch/v1",
        **_head("CronJob", f"{NAME}-smoke", namespace),
        "spec": {
            "schedule": schedule,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 600,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {
                "spec": {"backoffLimit": 0, "activeDeadlineSeconds": 900, "template": pod}
            },
        },
    }


def _container(image: str, words: Sequence[str]) -> dict[str, Any]:
    return {
        "name": NAME,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "meshproof", "smoke", "--report", "/tmp/report", *words],
        "workingDir": "/tmp",
        "env": [
            {"name": "HOME", "value": "/tmp"},
            {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
        ],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"cpu": "2", "memory": "1Gi"},
        },
        "securityContext": pod_security.CONTAINER_CONTEXT,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
