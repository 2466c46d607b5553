"""Rules that Envoy rejects: the error names file:line, and the previous rules are served again."""

from __future__ import annotations

import pytest

from meshproof import manifests, rules
from meshproof.base.errors import BadRules
from meshproof.documents.manifest import parse
from meshproof.mesh.http import HttpRequest
from meshproof.mesh.local.mesh import LocalMesh
from meshproof.rules import RuleSet
from meshproof.traffic.attribution import Attribution
from meshproof.traffic.visits import Visits
from tests.robust.real_runs import MESHPROOF, CommandRunner

VIRTUAL_SERVICE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match:
    - headers:
        cookie:
          regex: "REGEX"
    route: [{destination: {host: reviews, subset: v1}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}]
"""
ROUTE_RULE = """\
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: reviews}
spec:
  destination: {name: reviews}
  precedence: 2
  match:
    request:
      headers:
        cookie:
          regex: "REGEX"
  route: [{labels: {version: v1}, weight: 100}]
"""
# A regex that RE2 refuses -> pattern of its message.
REGEXES = {
    "^(?!.*user=bob).*$": r"invalid perl operator: \(\?!",
    "a{2000}": r"invalid repetition size: \{2000\}",
}


def read_versions(mesh: LocalMesh, count: int) -> set[str | None]:
    attribution = Attribution({pod.name: pod.version for pod in mesh.replicas()})
    visits = Visits(mesh.address("ingress"), [HttpRequest("/productpage")], "nack")
    return {attribution.read_reviews_version(visit) for visit in visits.take(count)}


def read_bad_rules(text: str, regex: str) -> RuleSet:
    return rules.read_rules(parse(text.replace("REGEX", regex), "bad.yaml"))


@pytest.mark.parametrize("regex", REGEXES)
def test_a_virtual_service_is_refused_when_it_is_read(regex: str) -> None:
    """Istio refuses it, too: pkg/config/validation/validation.go, validateStringRegexp."""
    pattern = rf"bad\.yaml:10:18: RE2 does not take the regex '.*': {REGEXES[regex]}"
    with pytest.raises(BadRules, match=pattern):
        read_bad_rules(VIRTUAL_SERVICE, regex)


@pytest.mark.parametrize("regex", REGEXES)
def test_the_place_is_named_and_the_rules_of_before_are_served(
    bookinfo: LocalMesh, regex: str
) -> None:
    pattern = rf"bad\.yaml:11: Envoy of \S+ rejected the config: {REGEXES[regex]}"
    bad_rules = read_bad_rules(ROUTE_RULE, regex)
    before = rules.read_rules(manifests.rules("v3_only", "v1"))
    with bookinfo.applied(before):
        with pytest.raises(BadRules, match=pattern), bookinfo.applied(bad_rules):
            pytest.fail("the rules count as served")
        assert read_versions(bookinfo, 30) == {"v3"}
        with bookinfo.applied(rules.read_rules(manifests.rules("cookie_burr", "v1alpha2"))):
            assert read_versions(bookinfo, 60) == {"v1", "v2", "v3"}
        assert read_versions(bookinfo, 30) == {"v3"}
    assert read_versions(bookinfo, 60) == {"v1", "v2", "v3"}


OWN_TEST = """\
import pytest
from meshproof import rules
from meshproof.documents.manifest import read

@pytest.mark.promise(1, "own", "bob is served")
@pytest.mark.parametrize("file", ["bad.yaml", "good.yaml"])
def test_own(mesh, visit, file):
    with mesh.applied(rules.read_rules(read([file]))):
        assert visit("/productpage").take(1)[0].status == 200
"""


def test_a_users_own_test_ends_with_the_code_of_bad_rules(runner: CommandRunner) -> None:
    for name, regex in (("bad", "(?!a)"), ("good", "a")):
        text = ROUTE_RULE.replace("REGEX", regex)
        (runner.folder / f"{name}.yaml").write_text(text)
    (runner.folder / "test_own.py").write_text(OWN_TEST)
    result = runner.run(*MESHPROOF, "test", "test_own.py", COLUMNS="200")
    runner.assert_no_leftovers()
    assert "bad.yaml:11: Envoy of " in result.output
    assert "1 passed, 1 mesh not ready" in result.output
    assert result.code == 65
    assert "Traceback" not in result.output
