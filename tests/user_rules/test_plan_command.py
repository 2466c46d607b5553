"""`meshproof plan` lists what `meshproof test --rules` would send, and fails under a coverage."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from meshproof import cli

RULES = Path(__file__).with_name("shop.yaml")
Plan = Callable[..., tuple[int, str, str]]

SHADOWED = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
  http:
  - match: [{uri: {prefix: /a}}]
    route: [{destination: {host: shop}}]
  - name: late
    match: [{uri: {prefix: /ab}}]
    route: [{destination: {host: shop}}]
"""


@pytest.fixture
def plan(capsys: pytest.CaptureFixture[str]) -> Plan:
    """Run the command; return its exit code, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["plan", *arguments])
        return code, *capsys.readouterr()

    return run


def test_text_lists_cases_by_route_and_route_with_their_lines(plan: Plan) -> None:
    code, out, _ = plan(str(RULES))
    assert code == 0
    stood_in, blank, *lines = out.splitlines()
    assert stood_in == (
        "stood in for by echo workloads, as no Service of namespace default is known: shop.default"
    )
    assert not blank
    assert lines[0] == f"shop (shop.default.svc.cluster.local), {RULES}:19"
    assert lines[1] == f"  route 1 'api', {RULES}:27"
    assert lines[2:4] == ["    shop: path /API -> v2", f"      10 requests, {RULES}:29"]
    at = lines.index("    shop: path /half -> v1 50 %, v2 50 %")
    assert lines[at + 1].startswith("      about ")
    assert lines[-1] == "5 of 5 routes reached (100 %)"


def test_json_says_the_same(plan: Plan) -> None:
    code, out, _ = plan(str(RULES), "-o", "json")
    assert code == 0
    found = json.loads(out)
    assert found["coverage"] == 1
    (split,) = [case for case in found["cases"] if len(case["shares"]) > 1]
    assert split["request"]["path"] == "/half"
    assert 3 < split["requests"]["expected"] < split["requests"]["most"]
    others = [case for case in found["cases"] if case is not split]
    # v1 and v2 answer each second request of the split, too: three answers would not tell them.
    often = [3 if "-> v3" in case["id"] else 10 for case in others]
    assert [case["requests"] for case in others] == [{"expected": n, "most": n} for n in often]
    assert found["requests"]["most"] == split["requests"]["most"] + sum(often)
    assert [route["line"] for route in found["routes"][0]["routes"]] == [27, 36, 48, 56, 69]


def test_an_route_that_nothing_reaches_is_named_with_its_reason(plan: Plan, tmp_path: Path) -> None:
    rule = tmp_path / "rule.yaml"
    rule.write_text(SHADOWED)
    code, out, error = plan(str(rule), "--fail-under", "80")
    assert code == 1
    assert out.splitlines()[-2:] == [
        "1 of 2 routes reached (50 %)",
        f"{rule}:10: route 2 'late' of shop is unreached: the route at {rule}:8 takes everything "
        "that it matches",
    ]
    assert error == "meshproof: 50 % of the routes are reached, less than --fail-under 80\n"
    assert plan(str(rule), "--fail-under", "50")[0] == plan(str(rule))[0] == 3


ACTIONS = Path(__file__).with_name("actions.yaml")


def test_json_says_what_is_looked_at_beside_who_answers(plan: Plan) -> None:
    code, out, _ = plan(str(ACTIONS), "-o", "json")
    assert code == 0
    found = {case["id"].removeprefix("shop: "): case for case in json.loads(out)["cases"]}
    assert found["path /old -> 302 to /new"]["answer"] == {
        "replied": 1.0,
        "reply": {
            "status": 302,
            "location": "http://shop.default.svc.cluster.local/new",
            "body": None,
        },
    }
    (arrival,) = found["path /api/ -> v1 as /v2/ at api.example"]["answer"]["arrivals"]
    assert (arrival["path"], arrival["authority"]) == ("/v2/", "api.example")
    first, second = found["path /headers -> v1 50 %, v2 50 %"]["answer"]["arrivals"]
    assert first["request_headers"]["x-version"] == "first"
    assert second["request_headers"]["x-version"] == "second"
    assert first["response_headers"]["x-back-remove"] is None
    late = found["path /timeout, answered too late -> 504 after 0.5 s"]
    assert late["answer"]["least_seconds"] == 0.5
    assert late["request"]["headers"]["x-envoy-fault-delay-request"] == "1750"
    assert late["requests"] == {"expected": 1, "most": 1}
    partly = found["path /partly, mirrored to audit for 50 % -> v1"]
    assert [one["share"] for one in partly["answer"]["mirrors"]] == [0.5]
    assert partly["requests"]["most"] > 100


def test_what_no_request_looks_at_is_named(plan: Plan, tmp_path: Path) -> None:
    rule = tmp_path / "rule.yaml"
    rule.write_text(SHADOWED.replace("    route:", "    timeout: 1m\n    route:", 1))
    _, out, _ = plan(str(rule))
    assert "      not proven: the timeout of 60 s\n" in out
    _, out, _ = plan(str(rule), "-o", "json")
    answers = [case["answer"] for case in json.loads(out)["cases"]]
    assert {"the timeout of 60 s"} == {
        words for answer in answers for words in answer.get("not_proven", ())
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no PATH given"),
        (["x.yaml", "--fail-under", "101"], "--fail-under 101: expected 0 to 100"),
    ],
)
def test_usage(plan: Plan, arguments: list[str], words: str) -> None:
    code, _, error = plan(*arguments)
    assert code == 64
    assert words in error


def test_an_option_that_is_not_there_names_the_nearest(plan: Plan) -> None:
    with pytest.raises(SystemExit) as ended:
        plan("x.yaml", "--fail-undr=3")
    assert ended.value.code == 64


def test_a_file_that_is_not_there(plan: Plan) -> None:
    code, _, error = plan("nowhere.yaml")
    assert code == 65
    assert error == "meshproof: nowhere.yaml:1:1: cannot be read: No such file or directory\n"


LOOSE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, annotations: {meshproof/tolerance: "0.2"}}
spec:
  hosts: [shop]
  http:
  - route: [{destination: {host: shop}, weight: 50}, {destination: {host: other}, weight: 50}]
"""


def test_limits_that_a_rule_sets_are_used_and_named(plan: Plan, tmp_path: Path) -> None:
    rule = tmp_path / "rule.yaml"
    rule.write_text(LOOSE)
    said = f"tolerance 20 points ({rule}:4, looser than the run's 10 points)"
    code, out, _ = plan(str(rule))
    assert code == 0
    assert f"      judged with {said}; beta 1 time in 1000 (profile gate)\n" in out
    case, *_ = json.loads(plan(str(rule), "-o", "json")[1])["cases"]
    assert case["limits"]["tolerance"] == {"value": 0.2, "by": f"{rule}:4", "run": 0.1}
    rule.write_text(LOOSE.replace(", annotations", ", labels").replace("meshproof/", ""))
    plain, *_ = json.loads(plan(str(rule), "-o", "json")[1])["cases"]
    assert plain["limits"]["tolerance"]["by"] == "profile gate"
    assert plain["requests"]["most"] > 3 * case["requests"]["most"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            LOOSE.replace("tolerance", "tolerence"),
            "meshproof/tolerence: meshproof has no option 'tolerence'; did you mean 'tolerance'?",
        ),
        (
            LOOSE
            + """---
apiVersion: v1
kind: Service
metadata: {name: shop, annotations: {meshproof/leak: "0.1"}}
spec: {selector: {app: shop}, ports: [{port: 80}]}
""",
            "meshproof/leak: it holds for nothing in a Service",
        ),
    ],
)
def test_an_option_that_cannot_hold_is_wrong(
    plan: Plan, tmp_path: Path, text: str, said: str
) -> None:
    rule = tmp_path / "rule.yaml"
    rule.write_text(text)
    code, out, _ = plan(str(rule))
    assert code == 1
    assert said in out


def test_rules_from_standard_input(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(RULES.read_bytes())))
    code, out, _ = plan("-")
    assert code == 0
    assert out == plan(str(RULES))[1].replace(str(RULES), "<stdin>")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "<stdin>:1:1: there is no Kubernetes object in this file"),
        (b"kind: A\n\xff", "<stdin>:2:1: not a text file (byte 8 is not UTF-8)"),
        (b"a: [", "<stdin>:2:1: not readable as YAML: "),
    ],
)
def test_standard_input_that_cannot_be_read(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, data: bytes, said: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    code, out, error = plan("-")
    assert (code, out) == (65, "")
    assert error.startswith(f"meshproof: {said}"), error


WRONG_TWICE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
  http:
  - timeout: soon
    route: [{destination: {host: shop}}]
  - retries: {backoff: 1s}
    route: [{destination: {host: shop, subset: v9}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart}
spec: {hosts: [cart], http: [{rout: []}]}
"""


def test_all_that_is_wrong_is_told_at_once(plan: Plan, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(WRONG_TWICE)
    code, out, _ = plan(str(file))
    assert code == 1
    shop, cart = (line for line in out.splitlines() if "is not checked" in line)
    for reason in ("found 'soon'", "spec.http[1].retries.backoff is not", "subset 'v9' of"):
        assert reason in shop
    assert "did you mean 'route'?" in cart


def test_a_budget_bounds_what_a_split_costs(plan: Plan) -> None:
    def count(*given: str) -> int:
        code, out, _ = plan(str(RULES), "-o", "json", *given)
        assert code in (0, 1, 3)
        most: int = json.loads(out)["requests"]["most"]
        return most

    assert count("--budget", "50") < count() < count("--tolerance", "0.01")
