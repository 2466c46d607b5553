"""Kustomizations and charts of a folder are rendered, and the places are those of its files."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from meshproof.base.errors import BadRules
from meshproof.user_rules import loading, rendering
from meshproof.user_rules.loading import ReadingOptions, UserRules
from tests.manifest_text import write_head

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
"""
RULE = write_head("VirtualService", "web") + (
    "spec:\n  hosts: [web]\n  http:\n  - route:\n    - destination: {host: web}\n"
)
OVERLAY = """\
resources: [../../base]
namespace: NAME
patches:
- target: {kind: VirtualService}
  patch: |
    - op: add
      path: /spec/http/0/match
      value: [{uri: {prefix: /NAME}}]
"""
#: The program that renders, as it is called here; CI has it with the lab.
KUBECTL = shutil.which("kubectl", path=f"{Path.home()}/.cache/mesh-lab/bin{os.pathsep}{os.defpath}")
needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="no kubectl here")
#: Renders nothing itself: it prints a file beside it, and keeps how it was called.
STAND_IN = """\
#!{python}
import json, os, sys
json.dump((sys.argv[1:], dict(os.environ)), open({log!r}, "w"))
sys.stderr.write({errors!r})
sys.stdout.write(open({output!r}).read())
sys.exit({code})
"""


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def list_files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base with two overlays; the working folder is the one above it."""
    write(
        tmp_path / "k8s",
        {
            "base/kustomization.yaml": "resources: [rules.yaml]\n",
            "base/rules.yaml": f"{SERVICE}---\n{RULE}",
            "overlays/dev/kustomization.yaml": OVERLAY.replace("NAME", "dev"),
            "overlays/prod/kustomization.yaml": OVERLAY.replace("NAME", "prod"),
        },
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path / "k8s"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, with nothing in it."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def kubectl(programs: Path) -> None:
    """The real kubectl, alone on PATH."""
    assert KUBECTL is not None
    (programs / "kubectl").symlink_to(KUBECTL)


def add_stand_in(programs: Path, name: str, output: str, errors: str = "", code: int = 0) -> Path:
    """Put a stand-in for a renderer on PATH; return the file with how it was called."""
    log, printed = programs / f"{name}.log", programs / f"{name}.out"
    printed.write_text(output)
    program = programs / name
    program.write_text(
        STAND_IN.format(
            python=sys.executable, log=str(log), output=str(printed), errors=errors, code=code
        )
    )
    program.chmod(0o755)
    return log


def list_asked(user_rules: UserRules) -> dict[str, str]:
    """Return the paths of the requests that reach the rules, with the place of their rule."""
    return {
        case.call.path: str(case.at)
        for case in user_rules.plan.cases
        if case.route_index is not None
    }


def describe_excluded(user_rules: UserRules) -> str:
    return "\n".join(map(str, user_rules.excluded))


@needs_kubectl
@pytest.mark.usefixtures("kubectl")
def test_overlays_are_rendered_and_their_base_is_not_read_twice(shop: Path) -> None:
    before = list_files(shop)
    user_rules = loading.load(["k8s"])
    assert user_rules.excluded == ()
    namespaces = sorted(document.namespace for document in user_rules.rules.documents)
    assert namespaces == ["dev", "prod"]
    assert list_asked(user_rules)["/dev"].startswith("k8s/base/rules.yaml:")
    assert user_rules.notes[:2] == (
        "rendered: k8s/overlays/dev/kustomization.yaml",
        "rendered: k8s/overlays/prod/kustomization.yaml",
    )
    assert list_files(shop) == before


@needs_kubectl
@pytest.mark.usefixtures("kubectl")
def test_places_are_those_of_the_source(shop: Path) -> None:
    (document, _) = loading.load(["k8s"]).rules.documents
    route = document.spec.entries("http")[0]
    assert str(document.at) == "k8s/base/rules.yaml:6"
    assert str(route.entries("route")[0].need("destination").at) == "k8s/base/rules.yaml:13"
    assert document.at.rendered_by == "k8s/overlays/dev/kustomization.yaml"


@needs_kubectl
@pytest.mark.usefixtures("kubectl")
def test_overlays_of_one_namespace_are_variants(shop: Path) -> None:
    for name in ("dev", "prod"):
        overlay = shop / "overlays" / name / "kustomization.yaml"
        overlay.write_text(overlay.read_text().replace(f"namespace: {name}\n", ""))
    assert "k8s/overlays/prod/kustomization.yaml" in describe_excluded(loading.load(["k8s"]))
    turns = loading.load_each_variant(["k8s"])
    assert [("/dev" in list_asked(turn), "/prod" in list_asked(turn)) for turn in turns] == [
        (True, False),
        (False, True),
    ]
    assert [turn.excluded for turn in turns] == [(), ()]


@needs_kubectl
@pytest.mark.usefixtures("kubectl")
def test_a_wrong_object_of_one_overlay_hides_none_of_another(shop: Path) -> None:
    overlay = shop / "overlays" / "prod" / "kustomization.yaml"
    overlay.write_text(overlay.read_text().replace("prefix: /prod", "prefixx: /prod"))
    user_rules = loading.load(["k8s"])
    (entry,) = user_rules.excluded
    assert (entry.name, entry.is_wrong) == ("VirtualService prod/web", True)
    assert "/dev" in list_asked(user_rules)


@needs_kubectl
@pytest.mark.usefixtures("kubectl")
def test_an_overlay_alone_takes_in_its_base(shop: Path) -> None:
    (shop / "overlays/dev/kustomization.yaml").write_text("resources: [../../base]\n")
    user_rules = loading.load(["k8s/overlays/dev"])
    assert [str(document.at) for document in user_rules.rules.documents] == [
        "k8s/base/rules.yaml:6"
    ]


@needs_kubectl
@pytest.mark.usefixtures("kubectl")
def test_a_renderer_reaches_no_network(shop: Path) -> None:
    """The proxy that it is given takes no connection: a file of a generator is not fetched."""
    overlay = shop / "overlays" / "dev" / "kustomization.yaml"
    generator = "configMapGenerator: [{name: a, files: ['https://example.com/a']}]\n"
    overlay.write_text(overlay.read_text() + generator)
    excluded = describe_excluded(loading.load(["k8s"]))
    assert "kubectl kustomize ended with 1" in excluded
    assert "127.0.0.1:9" in excluded


@needs_kubectl
@pytest.mark.usefixtures("kubectl")
def test_labels_that_a_kustomization_adds_are_those_of_the_pods(shop: Path) -> None:
    deployment = (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"
        "spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}}}\n"
    )
    subsets = write_head("DestinationRule", "web") + (
        "spec: {host: web, subsets: [{name: v1, labels: {version: v1}}]}\n"
    )
    rule = RULE.replace("{host: web}", "{host: web, subset: v1}")
    write(
        shop / "labels",
        {
            "kustomization.yaml": "resources: [all.yaml]\ncommonLabels: {version: v1}\n",
            "all.yaml": "---\n".join([SERVICE, deployment, subsets, rule]),
        },
    )
    user_rules = loading.load(["k8s/labels"])
    assert user_rules.notes == ("rendered: k8s/labels/kustomization.yaml",)
    assert [case.dead_ends for case in user_rules.plan.cases if case.dead_ends] == []


@pytest.mark.parametrize(
    "entry",
    [
        "resources: ['https://example.com/vs.yaml']",
        "resources: ['github.com/example/base?ref=v1']",
        "resources: [example/base]",
        "components: ['git@example.com:base.git']",
        "patches: [{path: 'https://example.com/patch.yaml'}]",
    ],
)
def test_what_is_afar_is_refused_by_name_before_anything_runs(
    shop: Path, programs: Path, entry: str
) -> None:
    log = add_stand_in(programs, "kustomize", RULE)
    (shop / "base" / "kustomization.yaml").write_text(f"{entry}\n")
    user_rules = loading.load(["k8s/overlays/dev", "k8s/base"])
    assert "is not here, and nothing is fetched" in describe_excluded(user_rules)
    assert not log.exists()


def test_what_cannot_be_rendered_is_told_once(shop: Path, programs: Path) -> None:
    """By the kustomization that makes use of all the others, as the file has the name."""
    remote = "resources: ['https://example.com/vs.yaml']\nnamespace: dev\n"
    (shop / "base" / "kustomization.yaml").write_text(remote)
    (shop / "overlays" / "prod" / "kustomization.yaml").unlink()
    (entry,) = loading.load(["k8s"]).excluded
    assert entry.name == "kustomization k8s/overlays/dev/kustomization.yaml:1"
    assert "https://example.com/vs.yaml is not here" in entry.because


def test_helm_inside_kustomize_is_refused(shop: Path, programs: Path) -> None:
    log = add_stand_in(programs, "kustomize", RULE)
    (shop / "base" / "kustomization.yaml").write_text("helmCharts: [{name: web}]\n")
    assert "run by helm, which is not done" in describe_excluded(loading.load(["k8s"]))
    assert not log.exists()


def test_a_renderer_gets_no_network_no_program_and_no_setting(
    shop: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for kustomize: it shows how it is called."""
    monkeypatch.setenv("KUSTOMIZE_PLUGIN_HOME", "/plugins")
    log = add_stand_in(programs, "kustomize", f"{SERVICE}---\n{RULE}")
    user_rules = loading.load(["k8s/overlays/dev"])
    arguments, environment = json.loads(log.read_text())
    assert (arguments[0], len(arguments)) == ("build", 2)
    assert not Path(arguments[1]).is_relative_to(shop)
    assert environment["HTTPS_PROXY"] == "http://127.0.0.1:9"
    assert not Path(environment["PATH"]).exists()
    assert "KUSTOMIZE_PLUGIN_HOME" not in environment
    assert list_asked(user_rules)
    assert user_rules.excluded == ()


def test_what_a_renderer_says_is_told(shop: Path, programs: Path) -> None:
    add_stand_in(programs, "kustomize", "", errors="no such\nbase", code=1)
    assert "kustomize build ended with 1: no such base" in describe_excluded(loading.load(["k8s"]))


def test_a_renderer_that_does_not_end_is_ended(
    shop: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "SECONDS", 0.2)
    add_stand_in(programs, "kustomize", "")
    (programs / "kustomize").write_text(f"#!{sys.executable}\nimport time\ntime.sleep(600)\n")
    assert "took more than 0.2 s" in describe_excluded(loading.load(["k8s"]))


def test_without_a_renderer_it_is_said(shop: Path, programs: Path) -> None:
    excluded = describe_excluded(loading.load(["k8s"]))
    assert "neither kustomize nor kubectl is on PATH" in excluded
    assert "by 'patches', and was not rendered" in excluded or "by 'namespace'" in excluded


def test_no_renderer_runs_where_it_is_switched_off_or_not_needed(
    shop: Path, programs: Path
) -> None:
    log = add_stand_in(programs, "kustomize", RULE)
    user_rules = loading.load(["k8s"], reading=ReadingOptions(no_render=True))
    assert "was not rendered: --no-render" in describe_excluded(user_rules)
    assert loading.load(["k8s/base"]).excluded == ()
    assert not log.exists()


CHART = {
    "Chart.yaml": "apiVersion: v2\nname: Web.Shop\nversion: 0.1.0\n",
    "values.yaml": "host: web\n",
    "templates/rule.yaml": "# A rule.\n"
    + RULE.replace("hosts: [web]", "hosts: [{{ .Values.host }}]"),
}


def test_a_chart_is_rendered_with_its_values(
    tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for helm, which prints what helm prints."""
    write(tmp_path / "chart", CHART)
    log = add_stand_in(
        programs, "helm", f"---\n# Source: web/templates/rule.yaml\n# A rule.\n{RULE}"
    )
    monkeypatch.chdir(tmp_path)
    user_rules = loading.load(["chart"])
    assert user_rules.excluded == ()
    assert [str(document.at) for document in user_rules.rules.documents] == [
        "chart/templates/rule.yaml:3"
    ]
    assert user_rules.notes == ("rendered: chart/Chart.yaml",)
    assert json.loads(log.read_text())[0] == [
        *("template", "--no-hooks", "web-shop", str(tmp_path / "chart"))
    ]


def test_a_folder_without_rules_says_what_was_rendered_and_left_out(
    tmp_path: Path, programs: Path
) -> None:
    """A rule may be switched off by the values of the chart."""
    write(tmp_path / "chart", CHART)
    job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: once}\n"
    add_stand_in(programs, "helm", f"---\n# Source: web/templates/job.yaml\n{job}")
    with pytest.raises(BadRules) as error:
        loading.load([str(tmp_path / "chart")])
    first_line, *lines = str(error.value).splitlines()
    assert first_line == "no rules found"
    assert lines[0] == f"rendered: {tmp_path / 'chart' / 'Chart.yaml'}"
    assert lines[1].startswith("left out: 1 object that routes nothing (Job)")


def test_a_chart_without_helm_is_not_rendered(tmp_path: Path, programs: Path) -> None:
    write(tmp_path / "chart", CHART)
    excluded = describe_excluded(loading.load([str(tmp_path / "chart")]))
    assert "it makes VirtualService, and was not rendered: helm is not on PATH" in excluded


def test_a_chart_that_is_refused_leaves_its_templates_unrendered(
    tmp_path: Path, programs: Path
) -> None:
    write(tmp_path / "chart", CHART)
    add_stand_in(programs, "helm", "", errors="found in Chart.yaml, but missing", code=1)
    excluded = describe_excluded(loading.load([str(tmp_path / "chart")]))
    assert "helm template ended with 1: found in Chart.yaml, but missing" in excluded
