"""What `meshproof rbac` prints: rights without more than is used, a CronJob within `restricted`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshproof.cli import main
from meshproof.cli import smoke as smoke_command
from meshproof.options import sources
from meshproof.plugin import cluster_settings
from meshproof.user_rules.live import KINDS, build_resource_name

IMAGE = "registry.example:5000/team/meshproof:1"


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert main(["rbac", *arguments]) == 0
    output = list(yaml.safe_load_all(capsys.readouterr().out))
    assert output
    return output


def find_kind(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (only,) = [body for body in documents if body["kind"] == kind]
    return only


def allowed(role: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {
        (group, name, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for name in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_objects_belong_together(capsys: pytest.CaptureFixture[str]) -> None:
    output = printed(capsys)
    kinds = [body["kind"] for body in output]
    assert kinds == [
        *("Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding"),
        *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
    ]
    binding, account = (
        find_kind(output, "ClusterRoleBinding"),
        find_kind(output, "ServiceAccount")["metadata"],
    )
    assert binding["roleRef"]["name"] == find_kind(output, "ClusterRole")["metadata"]["name"]
    (subject,) = binding["subjects"]
    assert (subject["name"], subject["namespace"]) == (account["name"], account["namespace"])


def test_a_namespace_of_somebody_else_is_not_made(capsys: pytest.CaptureFixture[str]) -> None:
    output = printed(capsys, "--namespace", "ops")
    assert "Namespace" not in {body["kind"] for body in output}
    assert find_kind(output, "ServiceAccount")["metadata"]["namespace"] == "ops"


@pytest.mark.parametrize("purpose", ["smoke", "test"])
def test_a_policy_keeps_it_to_its_own_namespaces(
    purpose: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = printed(capsys, "--for", purpose, "--ingress", "edge/ingress", "--namespace", "ops")
    spec = find_kind(output, "ValidatingAdmissionPolicy")["spec"]
    (who,) = spec["matchConditions"]
    assert who["expression"] == "request.userInfo.username == 'system:serviceaccount:ops:meshproof'"
    writes, *connects = spec["matchConstraints"]["resourceRules"]
    assert set(writes["operations"]) == {"CREATE", "UPDATE", "DELETE"}
    changed = {
        group
        for group, _, verb in allowed(find_kind(output, "ClusterRole"))
        if verb in ("create", "patch", "delete")
    }
    assert changed <= set(writes["apiGroups"])
    assert bool(connects) == (purpose == "smoke")
    expressions = " ".join(check["expression"] for check in spec["validations"])
    assert ("in ['istio-system', 'edge']" in expressions) == (purpose == "smoke")
    binding = find_kind(output, "ValidatingAdmissionPolicyBinding")["spec"]
    assert (
        binding["policyName"] == find_kind(output, "ValidatingAdmissionPolicy")["metadata"]["name"]
    )
    assert binding["validationActions"] == ["Deny"]


def test_an_older_cluster_has_no_policy(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = {body["kind"] for body in printed(capsys, "--without-policy")}
    assert kinds == {"Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding"}


@pytest.mark.parametrize("purpose", ["smoke", "test"])
def test_nothing_is_granted_at_large(purpose: str, capsys: pytest.CaptureFixture[str]) -> None:
    rights = allowed(find_kind(printed(capsys, "--for", purpose), "ClusterRole"))
    assert len(rights) > 10
    assert not {right for right in rights if "*" in right}
    granted = {name for _, name, _ in rights}
    assert not granted & {"secrets", "nodes", "clusterroles", "clusterrolebindings", "roles"}
    assert {verb for _, name, verb in rights if name == "pods/portforward"} == {"create", "get"}


@pytest.mark.parametrize("purpose", ["smoke", "test"])
def test_who_injects_may_be_read_and_no_more(
    purpose: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rights = allowed(find_kind(printed(capsys, "--for", purpose), "ClusterRole"))
    of_admission = {right for right in rights if right[0] == "admissionregistration.k8s.io"}
    assert {right[1:] for right in of_admission} == {("mutatingwebhookconfigurations", "list")}


def test_the_gate_needs_more_than_the_nightly_run(capsys: pytest.CaptureFixture[str]) -> None:
    smoke = allowed(find_kind(printed(capsys), "ClusterRole"))
    gate = allowed(find_kind(printed(capsys, "--for", "test"), "ClusterRole"))
    assert smoke < gate
    assert ("security.istio.io", "peerauthentications", "patch") in gate - smoke


def test_live_rules_are_read_in_the_namespaces_that_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = printed(capsys, "--rules-from", "shop", "--rules-from", "pay")
    roles = [body for body in output if body["kind"] == "Role"]
    assert [body["metadata"]["namespace"] for body in roles] == ["shop", "pay"]
    for role in roles:
        rights = allowed(role)
        assert {(group, build_resource_name(kind), "list") for group, kind, _ in KINDS} <= rights
        assert {verb for _, _, verb in rights} == {"list", "get"}


def test_the_classes_of_ingresses_are_looked_at_for_live_rules_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    right = ("networking.k8s.io", "ingressclasses", "get")
    assert right not in allowed(find_kind(printed(capsys), "ClusterRole"))
    assert right in allowed(find_kind(printed(capsys, "--rules-from", "shop"), "ClusterRole"))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Gateway", "gateways"),
        ("ServiceEntry", "serviceentries"),
        ("Ingress", "ingresses"),
        ("GRPCRoute", "grpcroutes"),
    ],
)
def test_kinds_have_the_names_of_the_api(kind: str, name: str) -> None:
    assert build_resource_name(kind) == name


def test_the_cron_job_keeps_to_restricted(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--cronjob", "--image", IMAGE, "--schedule", "0 4 * * 1-5", "--rules-from", "shop")
    job = find_kind(printed(capsys, *arguments), "CronJob")["spec"]
    assert (job["schedule"], job["concurrencyPolicy"]) == ("0 4 * * 1-5", "Forbid")
    spec = job["jobTemplate"]["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (0, 900)
    pod = spec["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["image"] == IMAGE
    assert container["command"][-2:] == ["--rules-from", "shop"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_cron_job_is_for_the_istio_and_the_images_that_are_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ("--istio-namespace", "mesh", "--revision", "canary", "--image-prefix", "mirror/x")
    job = find_kind(printed(capsys, "--cronjob", "--image", IMAGE, *arguments), "CronJob")["spec"]
    (container,) = job["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"][-3:] == [
        "--mesh-istio-namespace=mesh",
        "--mesh-revision=canary",
        "--mesh-image-prefix=mirror/x",
    ]
    parser = argparse.ArgumentParser()
    smoke_command.add_arguments(parser)
    options = parser.parse_args(container["command"][4:])
    sources.fill_in("smoke", options)
    assert cluster_settings.list_target_arguments(options) == container["command"][-3:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cronjob"], "--cronjob needs --image"),
        (["--image", IMAGE], "are for --cronjob"),
        (["--for", "test", "--cronjob", "--image", IMAGE], "leave out --for test"),
        (["--namespace", "Shop"], "expected the name of a namespace"),
        (["--rules-from", "a/b"], "expected the name of a namespace"),
        (["--cronjob", "--image", "a b"], "expected [HOST/]NAME"),
        (["--cronjob", "--image", IMAGE, "--schedule", "4 am"], "expected five fields"),
        (["--rules-from", "shop", "--intent", "a.yaml"], "--intent is for --cronjob"),
        (["--cronjob", "--image", IMAGE, "--intent", "a.yaml"], "with --rules-from"),
    ],
)
def test_what_does_not_fit_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rbac", *arguments]) == 64
    captured = capsys.readouterr()
    assert message in captured.err
    assert not captured.out


def test_the_nightly_run_has_the_files_of_what_is_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [
        f"intent: [{{name: {name}, request: {{host: cart}}, to: cart}}]\n" for name in ("a", "b")
    ]
    paths = [tmp_path / f"{number}.yaml" for number in (1, 2)]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    files = [word for path in paths for word in ("--intent", str(path))]
    command = ["rbac", "--cronjob", "--image", IMAGE, "--rules-from", "shop", *files]
    assert main(command) == 0
    objects = {body["kind"]: body for body in yaml.safe_load_all(capsys.readouterr().out)}
    names = ["intent-1.yaml", "intent-2.yaml"]
    assert objects["ConfigMap"]["data"] == dict(zip(names, texts, strict=True))
    pod = objects["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (folder,) = (m["mountPath"] for m in container["volumeMounts"] if m["name"] == "intent")
    assert container["command"][-4:] == [
        word for name in names for word in ("--intent", f"{folder}/{name}")
    ]
    assert str(tmp_path) not in str(container["command"])
    assert pod["volumes"][1]["configMap"] == {"name": objects["ConfigMap"]["metadata"]["name"]}
    paths[1].write_text("intent: [{nam: b}]\n")
    assert main(command) == 65
    assert "unknown key 'nam'; did you mean 'name'?" in capsys.readouterr().err


def test_a_purpose_that_is_none_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["rbac", "--for", "smok"]) == 64
    assert "did you mean 'smoke'?" in capsys.readouterr().err
