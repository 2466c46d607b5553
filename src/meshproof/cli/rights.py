"""The rights that a run needs, no more: what `meshproof rbac` prints.

A run creates namespaces whose names nobody knows beforehand, and RBAC cannot grant by prefix. So
the rights hold for the whole cluster, and an admission policy limits them to namespaces of runs.
Live rules are read in the namespaces that the user names. Source: Kubernetes docs, "Using RBAC
Authorization", "Validating Admission Policy", "Pod Security Standards", "CronJob".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshproof.mesh.cluster.api import pod_security
from meshproof.user_rules.live import KINDS, build_resource_name

Object = dict[str, Any]

#: Name of all printed objects.
NAME = "meshproof"
#: The ConfigMap of its intent files.
INTENT = f"{NAME}-intent"
_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io/v1"
#: CEL: whether a request is about a namespace of a run. See `meshproof.mesh.cluster.api.objects`.
_IN_RUN_NAMESPACE = (
    "(request.resource.resource == 'namespaces' ? request.name : request.namespace)"
    f".startsWith('{NAME}-')"
)
#: To create objects, and to list them (for the diagnosis, too).
_CREATE_VERBS = ("list", "create", "patch")
#: Kubernetes up to 1.34 asks for `get` where a websocket is opened, later ones for `create`.
_STREAM_VERBS = ("create", "get")


@dataclass(frozen=True)
class Right:
    """One rule of a Role, and why a run needs it."""

    reason: str
    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()

    @property
    def rule(self) -> Object:
        """The rule as a value of a Role's `rules`."""
        rule: Object = {"apiGroups": [self.group], "resources": list(self.resources)}
        if self.names:
            rule["resourceNames"] = list(self.names)
        return {**rule, "verbs": list(self.verbs)}


_SHARED_RIGHTS = (
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
        ("get", *_CREATE_VERBS),
    ),
    Right("the apps in them", "", ("serviceaccounts",), _CREATE_VERBS),
    Right("the apps in them, and whether they are up", "apps", ("deployments",), _CREATE_VERBS),
    Right(
        "what a killed run has installed (its record)",
        "",
        ("configmaps",),
        ("get",),
        ("installed",),
    ),
    Right("pods of the run, of istiod, of the ingress gateway", "", ("pods",), ("get", "list")),
    Right(
        "the config of proxies, what istiod says of them", "", ("pods/portforward",), _STREAM_VERBS
    ),
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
        (*_CREATE_VERBS, "delete"),
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
    _CREATE_VERBS,
)
_TEST_RIGHTS = (
    _PODS,
    Right("where spans are sent (mesh config)", "", ("configmaps",), ("get",)),
    Right(
        "the promise mtls, in the namespaces of the run",
        "security.istio.io",
        ("peerauthentications",),
        (*_CREATE_VERBS, "delete"),
    ),
    Right(
        "tags of spans, in the namespaces of the run",
        "telemetry.istio.io",
        ("telemetries",),
        _CREATE_VERBS,
    ),
    Right(
        "--mesh-way-in gateway-api, in the namespaces of the run",
        "gateway.networking.k8s.io",
        ("gateways", "httproutes"),
        ("get", *_CREATE_VERBS, "delete"),
    ),
)
#: Purpose of a run -> the rights it needs in the cluster.
RIGHTS = {"smoke": _SHARED_RIGHTS, "test": (*_SHARED_RIGHTS, *_TEST_RIGHTS)}
#: Needed to read live rules: IngressClasses are not namespaced.
_INGRESS_CLASSES = Right(
    "whether Istio serves an Ingress", "networking.k8s.io", ("ingressclasses",), ("get",)
)


def list_cluster_rights(purpose: str, rules_namespaces: Sequence[str]) -> tuple[Right, ...]:
    """Return the cluster-wide rights for a purpose; more if live rules are read."""
    rights = RIGHTS[purpose]
    live_rights = (_INGRESS_CLASSES, _PODS, *((_HTTP_ROUTES,) if purpose == "smoke" else ()))
    return (*rights, *(right for right in live_rights if rules_namespaces and right not in rights))


def list_reading_rights() -> tuple[Right, ...]:
    """Return the rights to read the live rules of a namespace, one for each API group."""
    resources_by_group: dict[str, list[str]] = {}
    for group, kind, _ in KINDS:
        resources_by_group.setdefault(group, []).append(build_resource_name(kind))
    rights = [
        Right("live rules and what they are about", group, tuple(names), ("list",))
        for group, names in resources_by_group.items()
    ]
    return (*rights, Right("whether the namespace is there", "", ("namespaces",), ("get",)))


def build_account_objects(
    purpose: str, namespace: str, rules_namespaces: Sequence[str]
) -> list[Object]:
    """Return ServiceAccount, ClusterRole and binding; per namespace of live rules a Role, too."""
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": namespace}
    cluster_name = f"{NAME}-{purpose}"
    account_objects = [
        {"apiVersion": "v1", **_build_header("ServiceAccount", NAME, namespace)},
        _build_role(
            "ClusterRole", cluster_name, "", list_cluster_rights(purpose, rules_namespaces)
        ),
        _build_binding("ClusterRole", cluster_name, "", subject),
    ]
    for rules_namespace in rules_namespaces:
        account_objects.append(
            _build_role("Role", f"{NAME}-rules", rules_namespace, list_reading_rights())
        )
        account_objects.append(_build_binding("Role", f"{NAME}-rules", rules_namespace, subject))
    return account_objects


def build_policy_objects(
    purpose: str, namespace: str, reachable_namespaces: Sequence[str]
) -> list[Object]:
    """Return the admission policy, and its binding, that protects the objects of others.

    The account creates, changes and deletes objects in namespaces of runs alone. The nightly run
    opens port forwards to pods there and in `reachable_namespaces` (of istiod and of the gateway)
    alone; `meshproof test` may reach addons anywhere. The policy needs Kubernetes 1.30.
    """
    groups = sorted({right.group for right in RIGHTS["test"]})
    resource_rules = [_build_resource_rule(groups, ["CREATE", "UPDATE", "DELETE"], ["*"])]
    checks = [
        (
            f"request.operation == 'CONNECT' || {_IN_RUN_NAMESPACE}",
            "changes objects of its own runs",
        )
    ]
    if purpose == "smoke":
        reachable = list(dict.fromkeys(reachable_namespaces))
        resource_rules.append(_build_resource_rule([""], ["CONNECT"], ["pods/portforward"]))
        reachable_list = ", ".join(f"'{name}'" for name in reachable)
        connect_check = (
            f"request.operation != 'CONNECT' || {_IN_RUN_NAMESPACE} "
            f"|| request.namespace in [{reachable_list}]"
        )
        checks.append(
            (
                connect_check,
                f"reaches pods of its own runs and of {', '.join(reachable)}",
            )
        )
    name, account = f"{NAME}-{purpose}", f"system:serviceaccount:{namespace}:{NAME}"
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": resource_rules},
        "matchConditions": [
            {"name": "who", "expression": f"request.userInfo.username == '{account}'"}
        ],
        "validations": [
            {"expression": expression, "message": f"{NAME} {claim} alone", "reason": "Forbidden"}
            for expression, claim in checks
        ],
    }
    binding_spec = {"policyName": name, "validationActions": ["Deny"]}
    kind = "ValidatingAdmissionPolicy"
    return [
        {"apiVersion": _ADMISSION, **_build_header(kind, name), "spec": spec},
        {"apiVersion": _ADMISSION, **_build_header(f"{kind}Binding", name), "spec": binding_spec},
    ]


def _build_resource_rule(
    groups: Sequence[str], operations: list[str], resources: list[str]
) -> Object:
    """Return a match rule of an admission policy, for all API versions."""
    return {
        "apiGroups": list(groups),
        "apiVersions": ["*"],
        "operations": operations,
        "resources": resources,
    }


def build_namespace() -> Object:
    """Return the default Namespace, with PodSecurity `restricted`."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    body = {"apiVersion": "v1", **_build_header("Namespace", NAME)}
    body["metadata"]["labels"] = {**body["metadata"]["labels"], **labels}
    return body


def _build_header(kind: str, name: str, namespace: str = "") -> Object:
    """Return kind and metadata of an object."""
    metadata: Object = {"name": name, "labels": {"app.kubernetes.io/name": NAME}}
    if namespace:
        metadata["namespace"] = namespace
    return {"kind": kind, "metadata": metadata}


def _build_role(kind: str, name: str, namespace: str, rights: Sequence[Right]) -> Object:
    """Return a Role or ClusterRole with these rights."""
    return {
        "apiVersion": f"{_RBAC}/v1",
        **_build_header(kind, name, namespace),
        "rules": [right.rule for right in rights],
    }


def _build_binding(kind: str, name: str, namespace: str, subject: Object) -> Object:
    """Return the binding of a Role or ClusterRole to `subject`."""
    return {
        "apiVersion": f"{_RBAC}/v1",
        **_build_header(f"{kind}Binding", name, namespace),
        "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": name},
        "subjects": [subject],
    }


def build_intent(namespace: str, texts: Mapping[str, str]) -> Object:
    """Return the ConfigMap with intent files: the name of each and its text."""
    return {
        "apiVersion": "v1",
        **_build_header("ConfigMap", INTENT, namespace),
        "data": dict(texts),
    }


def build_cron_job(
    namespace: str,
    image: str,
    schedule: str,
    smoke_arguments: Sequence[str],
    intent_names: Sequence[str] = (),
) -> Object:
    """Return the CronJob that runs `meshproof smoke`, within PodSecurity `restricted`.

    `intent_names` are the files of the ConfigMap of `build_intent` that it checks.

    One run at a time, without retries: a failed run must be seen. Its pod has no sidecar, with
    which the job would not end.
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
            "containers": [_build_container(image, smoke_arguments, intent_names)],
            "volumes": [
                {"name": "tmp", "emptyDir": {}},
                *([{"name": "intent", "configMap": {"name": INTENT}}] if intent_names else []),
            ],
        },
    }
    return {
        "apiVersion": "batch/v1",
        **_build_header("CronJob", f"{NAME}-smoke", namespace),
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


def _build_container(
    image: str, smoke_arguments: Sequence[str], intent_names: Sequence[str]
) -> dict[str, Any]:
    """Return the container that runs `meshproof smoke` with these arguments and intent files."""
    folder = "/etc/meshproof/intent"
    intent_arguments = [word for name in intent_names for word in ("--intent", f"{folder}/{name}")]
    return {
        "name": NAME,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": [
            "python3",
            "-m",
            "meshproof",
            "smoke",
            "--report",
            "/tmp/report",  # nosec B108: of the pod
            *smoke_arguments,
            *intent_arguments,
        ],
        "workingDir": "/tmp",  # nosec B108: of the pod
        "env": [
            {"name": "HOME", "value": "/tmp"},  # nosec B108: of the pod
            {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
        ],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"cpu": "2", "memory": "1Gi"},
        },
        "securityContext": pod_security.CONTAINER_CONTEXT,
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # nosec B108: of the pod
            *([{"name": "intent", "mountPath": folder, "readOnly": True}] if intent_names else []),
        ],
    }
