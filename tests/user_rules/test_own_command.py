"""`meshproof test --rules` and `pytest --mesh-rules`: rules that cannot be read, doors, context."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.local
Run = Callable[..., Any]
RULES = Path(__file__).with_name("shop.yaml")

HEAD = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
"""
UNREADABLE = HEAD + "  http: [{route: [{destination: {hots: shop}}]}]\n"
REFUSED = (
    HEAD + "  http: [{match: [{uri: {regex: '/a(?!b)'}}], route: [{destination: {host: shop}}]}]\n"
)
REWRITTEN = (
    HEAD + "  http: [{rewrite: {uriRegexRewrite: {match: '/(?!b)', rewrite: c}}, "
    "route: [{destination: {host: shop}}]}]\n"
)
NO_GROUP = REWRITTEN.replace("(?!b)", "").replace("rewrite: c", "rewrite: '\\2'")
NO_SUBSET = HEAD + "  http: [{route: [{destination: {host: shop, subset: v9}}]}]\n"
OUTSIDE = HEAD + "  http: [{route: [{destination: {host: shop.example}}]}]\n"
NO_ROUTE = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
"""


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        (1, UNREADABLE, "unknown key 'hots'; did you mean 'host'?"),
        (1, REFUSED, "RE2 does not take the regex '/a(?!b)'"),
        (1, REWRITTEN, "RE2 does not take the regex '/(?!b)'"),
        (1, NO_GROUP, "RE2 does not take '\\2'"),
        (3, NO_SUBSET, "subset 'v9' of shop.default.svc.cluster.local is not defined"),
        (65, NO_ROUTE, "no request follows from the rules, there is no route in them"),
        (65, "# nothing\n", "there is no Kubernetes object in this file"),
        (65, "a: [b\n", "not readable as YAML"),
    ],
    ids=[
        "unreadable",
        "refused by RE2",
        "rewrite",
        "no group",
        "no subset",
        "no case",
        "empty",
        "no YAML",
    ],
)
@pytest.mark.parametrize("command", ["test", "plan"])
def test_rules_that_prove_nothing_are_never_green(
    meshproof: Run, tmp_path: Path, command: str, code: int, text: str, words: str
) -> None:
    (tmp_path / "rule.yaml").write_text(text)
    given = ["--rules", "rule.yaml"] if command == "test" else ["rule.yaml"]
    ended = meshproof(command, *given)
    assert ended.code == code, ended.output
    output = " ".join(ended.output.split())
    assert words in output
    assert code == 65 or "rule.yaml:7" in output
    assert "Traceback" not in output
    assert all(result.outcome != "passed" for result in ended.results.values())


def test_a_path_that_is_not_there_ends_with_65(meshproof: Run) -> None:
    ended = meshproof("test", "--rules", "nowhere.yaml")
    assert ended.code == 65
    assert (
        ended.output == "meshproof: nowhere.yaml:1:1: cannot be read: No such file or directory\n"
    )


def test_a_host_outside_is_stood_in_for_and_named(meshproof: Run, tmp_path: Path) -> None:
    (tmp_path / "rule.yaml").write_text(OUTSIDE)
    ended = meshproof("test", "--rules", "rule.yaml")
    assert ended.code == 0, ended.output
    said = " ".join(ended.output.split())
    assert "stood in for by echo workloads, as no ServiceEntry for it is known: shop.exa" in said


def test_what_only_envoy_refuses_ends_with_65(meshproof: Run) -> None:
    faults = ("-p", "tests.user_rules.own_faults", "--own-fault", "regex that is none")
    ended = meshproof("test", "--rules", str(RULES), *faults)
    assert ended.code == 65, ended.output
    assert "rejected the config" in ended.output
    assert f"{RULES.name}:51" in ended.output
    assert "Traceback" not in ended.output


def test_a_header_value_that_envoy_refuses_is_told_with_its_line(
    meshproof: Run, tmp_path: Path
) -> None:
    text = HEAD + (
        "  http:\n  - headers: {request: {set: {x-a: '%NO_SUCH%'}}}\n"
        "    route: [{destination: {host: shop}}]\n"
    )
    (tmp_path / "rule.yaml").write_text(text)
    ended = meshproof("test", "--rules", "rule.yaml")
    assert ended.code == 65, ended.output
    assert "rule.yaml:8" in ended.output
    assert "NO_SUCH" in ended.output


OWN = """
def test_own(rule_case, rule_visits):
    (visit,) = rule_visits.take(1)
    assert visit.status == rule_case.status

def test_other():
    pass
"""


def test_a_test_of_the_users_own_runs_once_for_each_case(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=OWN)
    done = pytester.runpytest_subprocess("--mesh-rules", str(RULES), "-v")
    assert done.ret == 0, done.outlines
    done.stdout.fnmatch_lines(["*test_it.py::test_own[[]shop: path /APIx (and more) -> v2[]]*"])
    outcomes = done.parseoutcomes()
    assert outcomes["passed"] > 25
    assert set(outcomes) == {"passed"}


def test_without_rules_a_test_of_cases_is_left_out(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=OWN)
    done = pytester.runpytest_subprocess()
    done.assert_outcomes(passed=1, deselected=1)


def test_every_case_is_the_same_for_each_worker(pytester: pytest.Pytester) -> None:
    """pytest-xdist ends a run whose workers do not collect the same tests."""
    pytester.makepyfile(test_it=OWN)
    done = pytester.runpytest_subprocess("--mesh-rules", str(RULES), "-n", "2")
    assert done.ret == 0, done.outlines


IDLE = """
def test_asks_for_a_case_alone(rule_case):
    assert rule_case.id

def test_reads_no_answer(rule_case, rule_visits):
    assert rule_visits.requests
"""


def test_a_test_of_a_case_that_sends_nothing_is_never_green(meshproof: Run, tmp_path: Path) -> None:
    (tmp_path / "test_idle.py").write_text(IDLE)
    (tmp_path / "shop.yaml").write_text(HEAD + "  http: [{route: [{destination: {host: shop}}]}]\n")
    ended = meshproof("test", "--rules", "shop.yaml", "test_idle.py")
    assert ended.code == 3, ended.output
    assert {result.outcome for result in ended.all_results} == {"inconclusive"}
    words = "sent nothing: the test takes `rule_case` and has read no answer"
    assert all(words in result.summary for result in ended.all_results)


CONTEXT = """
apiVersion: v1
kind: Service
metadata: {name: shop}
spec:
  selector: {app: shop}
  ports: [{port: 80, name: http}, {port: 9080, name: http-old}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop-v1}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop, version: v1, tier: web}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec:
  host: shop
  subsets:
  - {name: one, labels: {version: v1}}
  - {name: two, labels: {version: v2}}
---
"""


def test_known_workloads_stand_for_the_subsets(meshproof: Run, tmp_path: Path) -> None:
    """No workload has the label of `two`: a real cluster would answer 503, and so do we."""
    (tmp_path / "shop.yaml").write_text(
        CONTEXT
        + HEAD
        + """
  http:
  - match: [{uri: {exact: /two}}]
    route: [{destination: {host: shop, subset: two}}]
  - route: [{destination: {host: shop, subset: one}}]
"""
    )
    ended = meshproof("test", "--rules", "shop.yaml")
    assert ended.code == 1, ended.output
    assert ended.list_failed() == [
        "shop: path /two on port 80 -> v2",
        "shop: path /two on port 9080 -> v2",
    ]
    message = ended.results["shop: path /two on port 80 -> v2"].message
    assert "no healthy upstream" in message
    assert "shop: any other request on port 9080 -> v1" in ended.results


OVERLAP = """
  http:
  - route:
    - {destination: {host: shop}, weight: 50}
    - {destination: {host: shop, subset: one}, weight: 50}
"""


SECOND_VERSION = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop-v2}
spec: {template: {metadata: {labels: {app: shop, version: v2}}}}
---
"""


def test_a_split_between_parts_that_overlap_is_not_supported(
    meshproof: Run, tmp_path: Path
) -> None:
    (tmp_path / "shop.yaml").write_text(CONTEXT + SECOND_VERSION + HEAD + OVERLAP)
    ended = meshproof("test", "--rules", "shop.yaml")
    assert ended.code == 3, ended.output
    assert "a split between parts that overlap" in ended.output


def test_rules_through_the_door_of_pytest_that_cannot_be_read(pytester: pytest.Pytester) -> None:
    pytester.makefile(".yaml", rule=UNREADABLE)
    pytester.makepyfile(test_it=OWN)
    done = pytester.run(sys.executable, "-m", "pytest", "--mesh-rules", "rule.yaml")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["ERROR: rule.yaml:*is not checked: *unknown key 'hots'*"])


def test_on_a_cluster_the_cases_run_on_a_local_mesh_and_the_report_says_so(
    meshproof: Run, tmp_path: Path
) -> None:
    (tmp_path / "rule.yaml").write_text(HEAD + "  http: [{route: [{destination: {host: shop}}]}]\n")
    ended = meshproof("test", "--mesh", "cluster", "--rules", "rule.yaml")
    assert ended.code == 0, ended.output
    said = " ".join(ended.output.split())
    assert "of the cases of your rules, that a real Envoy on this machine does it" in said
    assert "own translator stands in for the istiod of this cluster" in said


def test_rules_from_standard_input(tmp_path: Path) -> None:
    """What `helm template` or `kustomize build` prints needs no file."""
    ended = subprocess.run(
        [sys.executable, "-m", "meshproof", "test", "--rules", "-", "-k", "burr"],
        cwd=tmp_path,
        input=Path(__file__).with_name("shop.yaml").read_bytes(),
        capture_output=True,
        check=False,
        timeout=120,
    )
    said = ended.stdout.decode()
    assert ended.returncode == 0, said
    assert re.search(r"<stdin>\n  \+ .*x-user burr -> v3 +1 case +:\d+", said), said
