"""What a folder of a real repository holds is sorted, and nothing of it vanishes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from meshproof.documents.contents import Contents, read_contents, summarize_left_out
from tests.manifest_text import write_head

Write = Callable[[str, str], None]
RULE = write_head("VirtualService", "shop") + (
    "spec: {hosts: [shop], http: [{route: [{destination: {host: shop}}]}]}\n"
)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file of the folder."""

    def write_file(name: str, text: str) -> None:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    return write_file


@pytest.fixture
def read(tmp_path: Path) -> Callable[[], Contents]:
    return lambda: read_contents([str(tmp_path)])


def make_object(api_version: str, kind: str, name: str = "a", more: str = "spec: {}") -> str:
    return f"apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: {name}}}\n{more}\n"


def test_what_routes_nothing_is_left_out_by_name(
    write: Write, read: Callable[[], Contents]
) -> None:
    write("shop.yaml", RULE)
    write("claim.yaml", make_object("v1", "PersistentVolumeClaim"))
    write("knative.yaml", make_object("serving.knative.dev/v1", "Service"))
    write("job.json", '{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}}')
    write("Chart.yaml", "apiVersion: v2\nname: shop\nversion: 0.1.0\n")
    write("values.yaml", "kind: none\nreplicas: 3\n")
    write("kustomization.yaml", "resources: [shop.yaml]\n")
    write("playbook.yaml", "- hosts: all\n")
    write("templates/job.yaml", "kind: Job\nmetadata: {name: {{ .Values.name }}}\n")
    write("package.json", '{"name": "shop"}')
    write("README.md", "# Shop\n")
    write(".github/ci.yaml", "on: push\n")
    contents = read()
    assert [document.name for document in contents.documents] == ["shop"]
    assert (contents.unserved, contents.problems, contents.variants) == ([], [], [])
    assert summarize_left_out(contents.left_out) == [
        "3 objects that route nothing (PersistentVolumeClaim 1, Job 1, Service 1)",
        "2 files of Helm charts (Chart.yaml 1, values.yaml 1)",
        "1 kustomization (kustomization.yaml)",
        "1 document that is no Kubernetes object (playbook.yaml)",
        "1 template of other objects (job.yaml)",
        "2 other files (.md 1, .json 1)",
        "1 hidden folder (.github)",
    ]


UNSERVED = {
    "AuthorizationPolicy": ("security.istio.io/v1", "spec: {}", "all pods in default"),
    "RequestAuthentication": (
        "security.istio.io/v1",
        "spec: {selector: {matchLabels: {app: web}}}",
        "pods with app=web in default",
    ),
    "EnvoyFilter": (
        "networking.istio.io/v1alpha3",
        "spec: {workloadSelector: {labels: {app: web}}}",
        "pods with app=web in default",
    ),
    "WasmPlugin": ("extensions.istio.io/v1alpha1", "spec: {}", "all pods in default"),
    "IstioOperator": ("install.istio.io/v1alpha1", "spec: {}", "configures the mesh itself"),
    "NetworkPolicy": ("networking.k8s.io/v1", "spec: {podSelector: {}}", "all pods in default"),
    "ConfigMap": ("v1", 'data: {mesh: "enableTracing: true"}', "configures the mesh itself"),
    "denier": ("config.istio.io/v1alpha2", "spec: {}", "Istio removed it in 1.8"),
}


@pytest.mark.parametrize("kind", UNSERVED)
def test_what_changes_traffic_is_not_merely_left_out(
    kind: str, write: Write, read: Callable[[], Contents]
) -> None:
    api_version, more, reason = UNSERVED[kind]
    write("shop.yaml", RULE)
    write("other.yaml", make_object(api_version, kind, more=more))
    contents = read()
    (unserved,) = contents.unserved
    assert unserved.name == f"{kind} default/a"
    assert reason in unserved.reason
    assert contents.left_out == []


@pytest.mark.parametrize(
    ("name", "text", "kinds"),
    [
        ("vs.yaml", "kind: VirtualService\nspec: {{ .Values.spec }}\n", "VirtualService"),
        ("app.yaml", "kind: Service\n{{- with .x }}\n---\nkind: Job\n{{ end }}\n", "Service"),
        ("any.yaml", "kind: {{ .Values.kind }}\nspec: {{ .x }}\n", "an object of any kind"),
        ("vs.yaml.j2", "kind: VirtualService\n", "VirtualService"),
        ("vs.jsonnet", "{\n  kind: 'VirtualService',\n}\n", "VirtualService"),
    ],
)
def test_a_template_of_rules_is_not_merely_left_out(
    name: str, text: str, kinds: str, write: Write, read: Callable[[], Contents]
) -> None:
    write("shop.yaml", RULE)
    write(name, text)
    contents = read()
    (unserved,) = contents.unserved
    assert name in unserved.name
    assert f"makes {kinds}, and was not rendered" in unserved.reason
    assert contents.problems == []


@pytest.mark.parametrize(
    "change",
    [
        "namespace: shop",
        "namePrefix: a-",
        "patches: [{path: weights.yaml}]",
        "patchesStrategicMerge: [weights.yaml]",
        "resources: ['https://github.com/a/b?ref=v1']",
        "components: [../x]",
    ],
)
def test_a_kustomization_that_changes_objects_is_not_merely_left_out(
    change: str, write: Write, read: Callable[[], Contents]
) -> None:
    write("overlay/shop.yaml", RULE)
    write("overlay/kustomization.yaml", f"{change}\n")
    if "weights" in change:
        write("overlay/weights.yaml", RULE.replace("host: shop", "host: cart"))
    contents = read()
    (unserved,) = contents.unserved
    assert "kustomization.yaml:1" in unserved.name
    assert f"by '{change.partition(':')[0]}', and was not rendered" in unserved.reason
    assert [document.at.file.endswith("shop.yaml") for document in contents.documents] == [True]
    assert contents.variants == []
    reasons = [entry.what for entry in contents.left_out]
    assert reasons == (["weights.yaml"] if "weights" in change else [])


def test_wrong_and_unreadable_documents_hide_nothing(
    write: Write, read: Callable[[], Contents]
) -> None:
    write("shop.yaml", RULE)
    write("claim.yaml", make_object("v1", "PersistentVolumeClaim"))
    write("broken.yaml", "kind: [\n---\n" + RULE.replace("shop", "cart"))
    write("typo.yaml", make_object("networking.istio.io/v1", "VirtualServic"))
    write("far.yaml", make_object("networking.istio.oi/v1", "VirtualService"))
    write("nameless.yaml", "apiVersion: networking.istio.io/v1\nkind: Gateway\nspec: {}\n")
    contents = read()
    assert sorted(document.name for document in contents.documents) == ["cart", "shop"]
    reasons = [f"{Path(error.file).stem}: {error.reason}" for error in contents.problems]
    assert len(reasons) == 4
    for expected in ("broken: not readable", "typo: VirtualServic of", "far: VirtualService of"):
        assert any(reason.startswith(expected) for reason in reasons), expected
    assert any("'metadata' is missing" in reason for reason in reasons)
    assert len(contents.left_out) == 1


def test_of_two_objects_of_one_name_none_is_guessed(
    write: Write, read: Callable[[], Contents]
) -> None:
    write("all.yaml", RULE)
    write("v2.yaml", RULE.replace("host: shop", "host: shop-v2"))
    write("other.yaml", RULE.replace("shop", "cart"))
    contents = read()
    assert [document.name for document in contents.documents] == ["cart"]
    ((first, second),) = contents.variants
    assert [Path(variant.at.file).name for variant in (first, second)] == ["all.yaml", "v2.yaml"]


def test_a_copy_is_no_variant(write: Write, read: Callable[[], Contents]) -> None:
    pods = "spec: {replicas: %d, template: {metadata: {labels: {app: a}}, spec: {}}}"
    write("a.yaml", RULE + "---\n" + make_object("apps/v1", "Deployment", more=pods % 1))
    write("b.yaml", RULE + "---\n" + make_object("apps/v1", "Deployment", more=pods % 3))
    contents = read()
    assert [document.kind for document in contents.documents] == ["VirtualService", "Deployment"]
    assert contents.variants == []
    assert [str(entry.reason) for entry in contents.left_out] == ["copy of an object"] * 2


TWICE = "  a: 1\n  a: 2\n"
#: File and text in which a key stands twice -> what is left out; None where it is a problem.
REPEATED_KEYS = {
    "object that routes nothing": (
        "app.yaml",
        f"{make_object('argoproj.io/v1alpha1', 'Application', more='spec:')}{TWICE}",
        "1 object that routes nothing (Application)",
    ),
    "values of a chart": (
        "values-prod.yaml",
        f"web:\n{TWICE}",
        "1 file of a Helm chart (values-prod.yaml)",
    ),
    "rule": ("rule.yaml", f"{write_head('VirtualService', 'a')}spec:\n{TWICE}", None),
    "rule below an object that routes nothing": (
        "app.yaml",
        f"{write_head('VirtualService', 'a')}---\n"
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\n"
        f"{write_head('VirtualService', 'b')}spec: {{}}\n",
        None,
    ),
    "config of the mesh": (
        "config.yaml",
        f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio}}\ndata:\n{TWICE}",
        None,
    ),
    "rules in a file named as values": (
        "values.yaml",
        f"{write_head('VirtualService', 'a')}spec:\n{TWICE}",
        None,
    ),
    "no object": ("web.yaml", f"web:\n{TWICE}", None),
}


@pytest.mark.parametrize("what", REPEATED_KEYS)
def test_a_key_that_stands_twice_where_nothing_is_routed_is_no_problem(
    what: str, write: Write, read: Callable[[], Contents]
) -> None:
    file, text, left_out = REPEATED_KEYS[what]
    write(file, text)
    contents = read()
    summary = [part for part in summarize_left_out(contents.left_out) if "other file" not in part]
    assert summary == ([left_out] if left_out else [])
    assert len(contents.problems) == (0 if left_out else 1)
