"""A VirtualService fills a route of another one as Istio merges them, or is refused with why."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshproof import rules
from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.oracle.conditions import list_conditions
from meshproof.rules.model import Match, Route
from tests.rules.refusing import refused

ROOT = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: root}
spec:
  hosts: [shop]
  http:
"""
PART = """\
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: part, namespace: team}
spec:
  http:
"""
TO = "  - delegate: {name: part, namespace: team}\n"
ROUTE = "    route: [{destination: {host: cart}}]\n"


def routes(text: str) -> tuple[Route, ...]:
    (table,) = rules.read_rules(manifest.parse(text, "r.yaml")).tables
    assert table.hosts == ("shop.default.svc.cluster.local",)
    return table.routes


def merged(root: str, part: str) -> str:
    return f"{ROOT}{TO}    match: [{root}]\n{PART}  - match: [{part}]\n{ROUTE}"


def describe_matches(matches: tuple[Match, ...]) -> list[str]:
    return [
        " and ".join(condition.text for condition in list_conditions(match)) for match in matches
    ]


def test_the_routes_of_the_other_take_the_place_of_the_one() -> None:
    first = "  - match: [{uri: {exact: /first}}]\n    route: [{destination: {host: shop}}]\n"
    last = "  - route: [{destination: {host: shop}}]\n"
    parts = f"  - match: [{{uri: {{prefix: /cart/a}}}}]\n{ROUTE}  -{ROUTE[3:]}"
    merged_routes = routes(
        f"{ROOT}{first}{TO}    match: [{{uri: {{prefix: /cart}}}}]\n{last}{PART}{parts}"
    )
    assert [describe_matches(route.matches) for route in merged_routes] == [
        ["path exact '/first'"],
        ["path prefix '/cart/a'"],
        ["path prefix '/cart'"],
        [],
    ]
    hosts = [route.split[0].host.split(".")[:2] for route in merged_routes]
    assert hosts == [["shop", "default"], ["cart", "team"], ["cart", "team"], ["shop", "default"]]
    assert [route.at.line for route in merged_routes] == [7, 18, 20, 11]


#: Matches of both, and what is asked for in the end.
MATCHES = {
    "prefix in prefix": (
        "{uri: {prefix: /a}}",
        "{uri: {prefix: /a/b}}",
        ["path prefix '/a/b'"],
    ),
    "exact in prefix": ("{uri: {prefix: /a}}", "{uri: {exact: /ab}}", ["path exact '/ab'"]),
    "different parts": (
        "{uri: {prefix: /a}, port: 80}",
        "{method: {exact: GET}, headers: {x: {exact: y}}}",
        ["on port 80 and path prefix '/a' and method exact 'GET' and x exact 'y'"],
    ),
    "headers of both": (
        "{headers: {a: {exact: b}, c: {prefix: d}}}",
        "{headers: {c: {exact: de}, e: {regex: f}}}",
        ["a exact 'b' and c exact 'de' and e regex 'f'"],
    ),
    "each with each that takes it": (
        "{uri: {prefix: /a}}, {uri: {prefix: /b}}, {headers: {x: {exact: y}}}",
        "{uri: {exact: /a1}}, {uri: {exact: /b1}}",
        [
            "path exact '/a1'",
            "path exact '/a1' and x exact 'y'",
            "path exact '/b1'",
            "path exact '/b1' and x exact 'y'",
        ],
    ),
    "callers": (
        "{sourceLabels: {app: a}, gateways: [mesh, gate]}",
        "{sourceLabels: {tier: b}, gateways: [mesh]}",
        ["through mesh"],  # which names gateways, and so has no say on callers
    ),
}


@pytest.mark.parametrize("name", MATCHES)
def test_the_matches_of_both_must_hold(name: str) -> None:
    root, part, expected = MATCHES[name]
    (route,) = routes(merged(root, part))
    assert describe_matches(route.matches) == expected


#: Matches of which the second is no part of the first, as istiod tells it.
CONFLICTS = {
    "another prefix": ("{uri: {prefix: /a/b}}", "{uri: {prefix: /a}}"),
    "a prefix in an exact path": ("{uri: {exact: /a}}", "{uri: {prefix: /a}}"),
    "two exact paths": ("{uri: {exact: /a}}", "{uri: {exact: /b}}"),
    "a regex in a prefix": ("{uri: {prefix: /a}}", "{uri: {regex: /a.*}}"),
    "an exact path in a regex": ("{uri: {regex: /a.*}}", "{uri: {exact: /ab}}"),
    "equal regexes": ("{method: {regex: GET}}", "{method: {regex: GET}}"),
    "headers": ("{headers: {a: {exact: b}}}", "{headers: {a: {exact: c}}}"),
    "absent headers": ("{withoutHeaders: {a: {exact: b}}}", "{withoutHeaders: {a: {exact: c}}}"),
    "queries": ("{queryParams: {a: {exact: b}}}", "{queryParams: {a: {exact: c}}}"),
    "ports": ("{port: 80}", "{port: 81}"),
    "case": ("{uri: {prefix: /a}, ignoreUriCase: true}", "{method: {exact: GET}}"),
    "labels": ("{sourceLabels: {app: a}}", "{sourceLabels: {app: b}}"),
    "namespaces": ("{sourceNamespace: a}", "{method: {exact: GET}}"),
    "gateways": ("{gateways: [gate]}", "{gateways: [other]}"),
    "one of two": ("{uri: {prefix: /a}}", "{uri: {prefix: /a}}, {uri: {prefix: /b}}"),
}


@pytest.mark.parametrize("name", CONFLICTS)
def test_an_route_that_istio_would_leave_out_is_named(name: str) -> None:
    root, part = CONFLICTS[name]
    message = refused(merged(root, part))
    assert message.startswith("r.yaml:15:")
    assert message.endswith(
        "this match is not part of one of the route at r.yaml:7, which delegates to it: Istio "
        "leaves such a route out"
    )


def test_what_the_other_does_not_say_it_has_from_the_one() -> None:
    root_actions = (
        "    timeout: 2s\n    rewrite: {uri: /x}\n    corsPolicy: {allowMethods: [GET]}\n"
    )
    root_actions += "    headers: {request: {set: {a: b}}}\n    name: one\n"
    (route,) = routes(f"{ROOT}{TO}{root_actions}{PART}  - name: two\n    timeout: 3s\n{ROUTE}")
    assert (route.timeout, route.name) == (3.0, "one-two")
    assert route.rewrite is not None
    assert route.rewrite.uri == "/x"
    assert route.cors is not None
    assert route.cors.methods == ("GET",)
    assert route.headers.request.set == (("a", "b"),)


WRONG = {
    "nobody there": (
        f"{ROOT}{TO}{PART.replace('part', 'prat')}  -{ROUTE[3:]}",
        "7:15: spec.http[0].delegate: there is no VirtualService team/part; did you mean "
        "'team/prat'?",
    ),
    "one with hosts": (
        f"{ROOT}{TO}{PART.replace('  http', '  hosts: [cart]' + chr(10) + '  http')}  -{ROUTE[3:]}",
        "7:15: spec.http[0].delegate: team/part at r.yaml:9 has hosts of its own, so that nothing "
        "can be delegated to it",
    ),
    "a second level": (
        f"{ROOT}{TO}{PART}{TO}",
        "14:15: spec.http[0].delegate: team/part is delegated to itself, and Istio delegates once",
    ),
    "a route beside it": (
        f"{ROOT}{TO}{ROUTE}",
        "8:5: spec.http[0]: 'route' has no place beside 'delegate'",
    ),
    "gateways of the other": (
        f"{ROOT}{TO}{PART.replace('  http', '  gateways: [a]' + chr(10) + '  http')}  -{ROUTE[3:]}",
        "13:13: spec.gateways: team/part is delegated to, and a delegate has no gateways of its "
        "own",
    ),
    "a rewrite for destinations that cannot be read": (
        f"{ROOT}{TO}    rewrite: {{uri: /}}\n{PART}"
        "  - route: [{destination: {host: cart, subset: v1}}]\n",
        "15:48: subset 'v1' of cart.team.svc.cluster.local is not defined by any DestinationRule; "
        "defined: none",
    ),
    "a fault for a redirect": (
        f"{ROOT}{TO}    fault: {{abort: {{httpStatus: 500}}}}\n{PART}  - redirect: {{uri: /a}}\n",
        "15:5: the route at r.yaml:7 delegates to this one and has 'fault', which makes no sense "
        "where nothing is sent on",
    ),
    "one that nobody names": (
        f"{ROOT}  -{ROUTE[3:]}{PART}  -{ROUTE[3:]}",
        "13:3: spec: 'hosts' is missing",
    ),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_merged_is_refused_with_its_place(text: str, message: str) -> None:
    assert refused(text).startswith(f"r.yaml:{message}")


def test_delegates_may_stand_in_files_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(PART + f"  -{ROUTE[3:]}")
    (tmp_path / "b.yaml").write_text(ROOT + TO)
    (table,) = rules.read_rules(manifest.read([tmp_path])).tables
    assert table.routes[0].at.file.endswith("a.yaml")
    assert table.at.file.endswith("b.yaml")


def read_merged_mirrors(root: str, part: str) -> list[tuple[str, float]]:
    (route,) = routes(f"{ROOT}{TO}{root}{PART}  -{ROUTE[3:]}{part}")
    return [(mirror.target.host.partition(".")[0], mirror.percent) for mirror in route.mirrors]


def test_the_percentage_of_a_mirror_is_inherited_apart_from_the_mirror() -> None:
    share = "    mirrorPercentage: {value: 20}\n"
    a, b = ("    mirror: {host: a}\n", "    mirror: {host: b}\n")
    assert read_merged_mirrors(a + share, b) == [("b", 20)]
    assert read_merged_mirrors(share, b) == [("b", 20)]
    assert read_merged_mirrors(a, share) == [("a", 20)]
    assert read_merged_mirrors(a + share, b + share.replace("20", "5")) == [("b", 5)]


def test_mirror_and_mirrors_are_inherited_each_on_its_own() -> None:
    several = "    mirrors: [{destination: {host: b}, percentage: {value: 5}}]\n"
    merged_mirrors = read_merged_mirrors("    mirror: {host: a}\n", several)
    assert merged_mirrors == [("a", 100), ("b", 5)]


def test_headers_without_a_change_keep_those_of_the_root_away() -> None:
    head = "    headers: {request: {set: {x-root: '1'}}}\n"
    (route,) = routes(f"{ROOT}{TO}{head}{PART}  -{ROUTE[3:]}    headers: {{}}\n")
    assert route.headers.request.names == ()
    (route,) = routes(f"{ROOT}{TO}{head}{PART}  -{ROUTE[3:]}")
    assert route.headers.request.names == ("x-root",)


@pytest.mark.parametrize(
    ("export", "message"),
    [
        ("'*'", ""),
        ("default", ""),
        ("., default", ""),
        (".", "is not exported to namespace default, where a rule delegates to it"),
        ("bank", "is not exported to namespace default, where a rule delegates to it"),
        ("'~'", "exports the rule to no namespace"),
    ],
)
def test_a_delegate_is_exported_to_the_namespace_of_its_root(export: str, message: str) -> None:
    part = PART.replace("spec:\n", f"spec:\n  exportTo: [{export}]\n")
    text = f"{ROOT}{TO}{part}  -{ROUTE[3:]}"
    if not message:
        assert len(routes(text)) == 1
        return
    with pytest.raises(BadRules, match=rf"^r.yaml:13:\d+: spec.exportTo.*{message}"):
        rules.read_rules(manifest.parse(text, "r.yaml"))
