"""Live rules in a sandbox of the lab's cluster: its istiod, its proxies, nothing of the users'."""

from __future__ import annotations

import contextlib
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from meshproof.base.waiting import wait_for
from meshproof.mesh.cluster.run.probe import INJECT_LABEL
from meshproof.mesh.cluster.sandbox.echo_pods import EchoPlacement, make_objects
from meshproof.user_rules import loading
from tests import ROOT
from tests.lab.commands import (
    LONGEST,
    Ended,
    begun,
    everything,
    kubectl,
    list_leftovers,
    meshproof,
    of_process,
    snapshot,
)
from tests.lab.nightly import USERS, holding, stored, users

RULES = Path(__file__).parent / "sandbox.yaml"
BOOKS = Path(__file__).parent / "sandbox_books.yaml"
CLIENT_SIDE = Path(__file__).parent / "sandbox_client_side.yaml"
#: Folders of the plugin that plants the faults, and of what it uses.


@pytest.fixture
def live_shop() -> Iterator[str]:
    """A user's namespace with the rules of sandbox.yaml."""
    with holding("sandbox-shop", RULES) as name:
        yield name


def cases(ended: Ended) -> dict[str, str]:
    """Return name -> outcome of the cases of a user's rules."""
    hosts = "cart: ", "shop.example.com: ", "web: ", "pay: "
    results = [result for result in ended.run.results if result.promise.startswith(hosts)]
    outcomes = {result.promise: str(result.outcome) for result in results}
    assert outcomes, ended.output
    return outcomes


def test_what_rules_say_is_proven_by_the_cluster(live_shop: str, tmp_path: Path) -> None:
    with users():
        before, objects = snapshot(), stored(live_shop, USERS, "istio-system")
        ended = meshproof(
            "smoke", "--rules-from", live_shop, "--rules-from", USERS, folder=tmp_path
        )
        assert (snapshot() ^ before, list_leftovers(ended)) == (set(), [])
        assert stored(live_shop, USERS, "istio-system") == objects
    assert ended.code == 0, ended.output
    outcomes = cases(ended)
    for name in (
        "cart: cookie user=burr -> v2",
        "cart: path /half -> v1 50 %, v2 50 %",
        "cart: path /old/ -> 308 to /new",
        "cart: path /gone -> 410",
        "cart: path /api/, x-tenant, x-secret, x-via already there -> v1 as /v2/ at cart.example",
        "cart: path /slow -> v1 after 1 s",
        "cart: path /broken -> 418",
        "cart: path /patient, answered too late -> 504 after 1 s",
        "cart: path /stubborn, failing twice with 500 -> v2",
        "cart: path /stubborn, failing 3 times with 500 -> 500",
        "shop.example.com: path /cart and authority shop.example.com -> cart v2",
        "shop.example.com: path /away -> 301 to /cart",
        "pay: from namespace default -> any version",  # istiod leaves its one route out
        "web: from app=cart -> cart v1",
        "web: path /stock -> stock",
        "cart: x-beta yes -> v2",
        "web: from another workload -> any version",
        "web: any other request, mirrored to cart v1 -> any version",
    ):
        assert outcomes.pop(name) == "passed", name
    not_passed = {name: outcome for name, outcome in outcomes.items() if outcome != "passed"}
    assert not_passed == dict.fromkeys(
        (
            # Its callers would have to be in a namespace of the user's.
            "pay: from namespace sandbox-shop -> any version",
            "pay: host pay -> any version",
            "pay: host pay:80 -> any version",
            # Others may have rules for these hosts at the same gateway.
            "shop.example.com: host meshproof-other.example.com (no rule names it) -> 404",
            "shop.example.com: host meshproof-other.shop.example.com (no rule names it) -> 404",
        ),
        "not supported",
    )
    assert "its caller has a namespace of a user" in ended.output
    assert "sandbox: 7 echo workloads with sidecars" in ended.output


@pytest.mark.long
def test_a_signal_leaves_nothing_of_it_but_the_evidence(tmp_path: Path) -> None:
    def pods() -> list[str]:
        of_run = [namespace for namespace in of_process(run.pid) if "-rules-" in namespace]
        return [kubectl("get", "pods", "-n", namespace, "-o", "name") for namespace in of_run]

    with users():
        before = everything()
        with begun("smoke", "--rules-from", USERS, folder=tmp_path) as run:
            wait_for(lambda: any(pods()) or None, 60, lambda: "there is no sandbox", 0.2)
            run.send_signal(signal.SIGINT)
            output, _ = run.communicate(timeout=LONGEST)
        assert (everything() ^ before, of_process(run.pid)) == (set(), [])
    assert run.returncode == 2, output
    (folder,) = (tmp_path / "report" / "diagnosis").glob("mesh-*")
    saved_pods = json.loads((folder / "pods.json").read_text())
    assert any("-rules-" in pod["metadata"]["namespace"] for pod in saved_pods)


def test_an_http_route_of_a_service(tmp_path: Path) -> None:
    with holding("sandbox-books", BOOKS) as name:
        ended = meshproof(
            *("test", "--mesh", "cluster", "--rules", f"cluster:{name}", "--mesh-sandbox", "8"),
            folder=tmp_path,
        )
    assert (ended.code, list_leftovers(ended)) == (0, []), ended.output
    outcomes = {result.promise: str(result.outcome) for result in ended.run.results}
    assert outcomes["books: path /half -> books-v1 50 %, books-v2 50 %"] == "passed", ended.output
    assert outcomes["books: path /new -> books-v2"] == "passed"
    assert set(outcomes.values()) == {"passed"}


def test_subsets_beside_the_callers_of_another_namespace_s_service(tmp_path: Path) -> None:
    ended = meshproof(
        *("test", "--mesh", "cluster", "--rules", str(CLIENT_SIDE), "--mesh-sandbox", "8"),
        folder=tmp_path,
    )
    assert (ended.code, list_leftovers(ended)) == (0, []), ended.output
    outcomes = {result.promise: str(result.outcome) for result in ended.run.results}
    for name in (
        "pay: path /new from namespace alpha -> v2",
        "stock: path /new from namespace zeta -> v2",
    ):
        assert outcomes[name] == "passed", ended.output
    assert set(outcomes.values()) == {"passed"}, ended.output


@pytest.mark.parametrize("changed", [False, True], ids=["as they are", "as root"])
def test_its_pods_keep_to_restricted(changed: bool) -> None:
    name = "sandbox-restricted"
    user_rules = loading.load([str(RULES)])
    ports = dict.fromkeys((echo.host for echo in user_rules.workloads.echoes), (80,))
    namespaces = dict.fromkeys(("default", "warehouse"), name)
    standing = EchoPlacement(namespaces, ports, {}, str, lambda host: ["."])
    pods = [
        body for body in make_objects(user_rules.workloads.echoes, user_rules.known_hosts, standing)
    ]
    pods = [body for body in pods if body["kind"] == "Pod"]
    assert pods
    for pod in pods:
        pod["metadata"]["labels"][INJECT_LABEL] = (
            "false"  # istio-init needs more, where there is no CNI
        )
        if changed:
            del pod["spec"]["securityContext"]
    kubectl("create", "namespace", name)
    try:
        kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        accounts = ("get", "serviceaccounts", "-n", name, "-o", "name")
        wait_for(lambda: kubectl(*accounts) or None, 30, lambda: "no account", 0.2)
        refused = pytest.raises(RuntimeError, match=r'violates PodSecurity "restricted')
        with refused if changed else contextlib.nullcontext():
            kubectl("apply", "--dry-run=server", "-f", "-", text=yaml.safe_dump_all(pods))
    finally:
        kubectl("delete", "namespace", name, "--wait=true", "--timeout=90s")


@pytest.mark.long
def test_more_workloads_than_are_allowed_are_on_a_local_mesh(tmp_path: Path) -> None:
    with users():
        ended = meshproof("smoke", "--rules-from", USERS, "--most-workloads", "1", folder=tmp_path)
    assert ended.code == 0, ended.output
    (standin,) = ended.run.standins
    assert "ran on a local mesh" in standin
    assert "a sandbox would need 2 echo workloads, and 1 are allowed" in standin
    assert "a sandbox would need 2" in " ".join(ended.output.split())


@pytest.mark.long
@pytest.mark.parametrize(
    ("fault", "code", "outcomes", "words"),
    [
        (
            "other weights",
            1,
            {
                "cart: path /half -> v1 50 %, v2 50 %": "failed",
                "cart: path /halfx (and more) -> v1 50 %, v2 50 %": "failed",
            },
            r"cart v1 gave \d[\d.]* % of \d+ answers where 50 % was",
        ),
        (
            "lost rule",
            69,
            {"*": "mesh not ready"},
            r"meshproof-probe-\S* does not have VirtualService cart",
        ),
        (
            "other redirect",
            1,
            {
                "cart: path /old/ -> 308 to /new": "failed",
                "cart: path /old/x (and more) -> 308 to /new": "failed",
            },
            r"HTTP 308, but to http://cart\.sandbox-shop\.svc\.cluster\.local/newer, not http://cart",
        ),
    ],
)
def test_a_fault_in_what_the_cluster_serves(
    fault: str, code: int, outcomes: dict[str, str], words: str, live_shop: str, tmp_path: Path
) -> None:
    ended = meshproof(
        *("test", "--mesh", "cluster", "--rules", f"cluster:{live_shop}", "--mesh-sandbox", "8"),
        *("-p", "tests.lab.lab_faults", "--fault", fault, "-k", "half or old or burr"),
        folder=tmp_path,
        PYTHONPATH=str(ROOT),
    )
    assert ended.code == code, ended.output
    good = "passed", "not supported"
    changed = {name: outcome for name, outcome in cases(ended).items() if outcome not in good}
    if "*" in outcomes:
        assert set(changed.values()) == {outcomes["*"]}
    else:
        assert changed == outcomes
    assert re.search(words, " ".join(ended.output.split())), ended.output
    (diagnosis,) = {result.diagnosis for result in ended.run.results if result.diagnosis}
    assert [*Path(diagnosis).glob("**/meshproof-probe-inside*")]
    assert list_leftovers(ended) == []
