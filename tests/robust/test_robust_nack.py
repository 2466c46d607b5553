"""Rules that Envoy rejects: the place is named, and the rules of before are served again."""

from __future__ import annotations

import pytest

from meshproof import manifests, rules
from meshproof.base.errors import BadRules
from meshproof.documents.manifest import parse
from meshproof.mesh.local.mesh import LocalMesh
from meshproof.rules import RuleSet
from meshproof.traffic.attribution import Attribution
from meshproof.traffic.http import Request
from meshproof.traffic.visits import Visits
from tests.robust.real_runs import MESHPROOF, Place

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
DIALECTS = [
    pytest.param(VIRTUAL_SERVICE, 10, id="VirtualService"),
    pytest.param(ROUTE_RULE, 11, id="RouteRule"),
]
# What RE2 refuses -> what it says.
REGEXES = {
    "^(?!.*user=bob).*$": r"invalid perl operator: \(\?!",
    "a{2000}": r"invalid repetition size: \{2000\}",
}


def versions(mesh: LocalMesh, count: int) -> set[str | None]:
    attribution = Attribution({pod.name: pod.version for pod in mesh.replicas()})
    visits = Visits(mesh.address("ingress"), [Request("/productpage")], "nack")
    return {attribution.read_reviews_version(visit) for visit in visits.take(count)}


def bad(text: str, regex: str) -> RuleSet:
    return rules.read_rules(parse(text.replace("REGEX", regex), "bad.yaml"))


@pytest.mark.parametrize("regex", REGEXES)
@pytest.mark.parametrize(("text", "line"), DIALECTS)
def test_the_place_is_named_and_the_rules_of_before_are_served(
    bookinfo: LocalMesh, text: str, line: int, regex: str
) -> None:
    words = rf"bad\.yaml:{line}: Envoy of \S+ rejected the config: {REGEXES[regex]}"
    before = rules.read_rules(manifests.rules("v3_only", "v1"))
    with bookinfo.applied(before):
        with pytest.raises(BadRules, match=words), bookinfo.applied(bad(text, regex)):
            pytest.fail("the rules count as served")
        assert versions(bookinfo, 30) == {"v3"}
        with bookinfo.applied(rules.read_rules(manifests.rules("cookie_burr", "v1alpha2"))):
            assert versions(bookinfo, 60) == {"v1", "v2", "v3"}
        assert versions(bookinfo, 30) == {"v3"}
    assert versions(bookinfo, 60) == {"v1", "v2", "v3"}


OWN_TEST = """\
import pytest
from meshproof import rules
from meshproof.documents.manifest import read

@pytest.mark.promise(1, "own", "bob is served")
@pytest.mark.parametrize("file", ["bad.yaml", "good.yaml"])
def test_own(mesh, visit, file):
    with mesh.applied(rules.read(read([file]))):
        assert visit("/productpage").take(1)[0].status == 200
"""


def test_a_users_own_test_ends_with_the_code_of_bad_rules(place: Place) -> None:
    for name, regex in (("bad", "(?!a)"), ("good", "a")):
        text = VIRTUAL_SERVICE.replace("REGEX", regex)
        (place.folder / f"{name}.yaml").write_text(text)
    (place.folder / "test_own.py").write_text(OWN_TEST)
    ended = place.run(*MESHPROOF, "test", "test_own.py", COLUMNS="200")
    place.assert_nothing_left()
    assert "bad.yaml:10: Envoy of " in ended.said
    assert "1 passed, 1 mesh not ready" in ended.said
    assert ended.code == 65
    assert "Traceback" not in ended.said
