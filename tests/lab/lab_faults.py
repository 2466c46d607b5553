"""A pytest plugin that plants a fault in a cluster run: `-p lab_faults --fault NAME`.

The files of the run itself are edited: nothing of the cluster is touched that is not the run's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from meshproof import manifests
from meshproof.base import timeouts
from meshproof.documents.manifest import Document, parse
from meshproof.mesh.addons import prometheus, zipkin
from meshproof.mesh.cluster.api.objects import RunObject
from meshproof.mesh.cluster.run import tracing, workloads
from meshproof.mesh.cluster.sandbox.rule_rewriter import RuleRewriter
from tests.faults.doctored_manifests import MANIFESTS, edit_manifest
from tests.faults.doctored_rules import replace_rules
from tests.lab.commands import PLANTED

Plant = Callable[[pytest.MonkeyPatch], None]
STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
"""


def rewritten(patch: pytest.MonkeyPatch, promise: str, *changes: tuple[str, str]) -> None:
    """Apply a promise's rules with each old text replaced by a new one, wherever it stands."""

    def text(dialect: str) -> list[Document]:
        path = MANIFESTS / "rules" / promise / f"{dialect}.yaml"
        changed = path.read_text()
        for old, new in changes:
            assert old in changed or dialect != "v1", f"{path}: {old!r} must stand there"
            changed = changed.replace(old, new)
        return parse(changed, str(path))

    replace_rules(patch, promise, text)


def wrong_rules(patch: pytest.MonkeyPatch) -> None:
    """60/40 for 50/50, a subset without a workload, a VirtualService in the wrong namespace."""
    rewritten(
        patch,
        "split_half",
        ("subset: v2\n      weight: 50", "subset: v2\n      weight: 60"),
        ("subset: v1\n      weight: 50", "subset: v1\n      weight: 40"),
    )
    rewritten(patch, "cookie_burr", ("      version: v3", "      version: v9"))
    names = "  name: reviews-default\n", "  name: reviews\nspec"
    moved = [(name, name.replace("\n", "\n  namespace: sock-shop\n", 1)) for name in names]
    rewritten(patch, "v3_only", *moved)


def no_sidecar(patch: pytest.MonkeyPatch) -> None:
    """reviews-v2 asks not to be injected."""
    label = "        app: reviews\n        version: v2\n    spec:"
    bare = label.replace("    spec:", '        sidecar.istio.io/inject: "false"\n    spec:')
    edit_manifest(patch, "bookinfo.yaml", label, bare)


def crash_loop(patch: pytest.MonkeyPatch) -> None:
    """The app of reviews-v2 ends at once."""
    image = "        image: docker.io/istio/examples-bookinfo-reviews-v2:1.20.3\n"
    command = "        command: [python3, -c, \"raise SystemExit('no database')\"]\n"
    edit_manifest(patch, "bookinfo.yaml", image, image + command)


def leaking_crash(patch: pytest.MonkeyPatch) -> None:
    """The app of reviews-v2 tells its secrets and ends at once."""
    image = "        image: docker.io/istio/examples-bookinfo-reviews-v2:1.20.3\n"
    script = (
        f"starting with password={PLANTED}\nAuthorization: Bearer {PLANTED}\n"
        f"-----BEGIN PRIVATE KEY-----\n{PLANTED}\n-----END PRIVATE KEY-----\n"
    )
    command = json.dumps(["python3", "-c", f"raise SystemExit({script!r})"])
    args = json.dumps(["--db-password", PLANTED])
    fields = f"        command: {command}\n        args: {args}\n"
    edit_manifest(patch, "bookinfo.yaml", image, image + fields)


def bare_client(patch: pytest.MonkeyPatch) -> None:
    """productpage has no sidecar, which nobody notices, and reviews takes mutual TLS alone."""
    label = "        app: productpage\n        version: v1\n    spec:"
    bare = label.replace("    spec:", '        sidecar.istio.io/inject: "false"\n    spec:')
    edit_manifest(patch, "bookinfo.yaml", label, bare)
    apps = manifests.apps
    policy = parse(STRICT, "strict.yaml")
    patch.setattr(manifests, "apps", lambda: [*apps(), *policy])
    patch.setattr(workloads, "check_injected", lambda *_: None)


def refused_rule(patch: pytest.MonkeyPatch) -> None:
    """A rule that meshproof reads and istiod's admission webhook refuses."""
    rewritten(patch, "v3_only", ("  - reviews\n  http", "  - reviews\n  - reviews\n  http"))


def untold_addons(patch: pytest.MonkeyPatch) -> None:
    """No Telemetry is applied: nobody sends spans of ours. Nothing is waited for long."""
    patch.setattr(tracing, "send_spans", lambda *_: None)
    patch.setattr(tracing, "apply_telemetry", lambda *_: None)
    for name, seconds in (("TRACED", 3.0), ("SCRAPED", 8.0)):
        patch.setattr(timeouts, name, seconds)
    patch.setattr(zipkin.ClusterAddon, "evidence_timeout", timeouts.TRACED)
    patch.setattr(prometheus.ClusterAddon, "evidence_timeout", timeouts.SCRAPED)


def served_otherwise(*changes: tuple[str, str]) -> Plant:
    """Return what serves a sandbox's VirtualServices with each old text replaced by a new one."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        rewrite = RuleRewriter.rewrite_virtual_service

        def doctored(self: RuleRewriter, document: Document) -> RunObject:
            placed = rewrite(self, document)
            text = json.dumps(placed.body)
            if placed.name == "cart":
                for old, new in changes:
                    assert old in text, f"{old!r} must stand in {text}"
                    text = text.replace(old, new)
            body = json.loads(text)
            if "kube-public" in text:  # nobody of the run sees it
                body["spec"]["exportTo"] = ["kube-public"]
            return replace(placed, body=body)

        patch.setattr(RuleRewriter, "rewrite_virtual_service", doctored)

    return plant


FAULTS: dict[str, Plant] = {
    "other weights": served_otherwise(('"weight": 50}]', '"weight": 900}]')),
    "other redirect": served_otherwise(('"uri": "/new"', '"uri": "/newer"')),
    "lost rule": served_otherwise(('"exportTo": [', '"exportTo": ["kube-public", ')),
    "wrong rules": wrong_rules,
    "no sidecar": no_sidecar,
    "crash loop": crash_loop,
    "leaking crash": leaking_crash,
    "bare client": bare_client,
    "refused rule": refused_rule,
    "untold addons": untold_addons,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault", metavar="NAME", required=True, choices=sorted(FAULTS))


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        FAULTS[session.config.getoption("fault")](patch)
        return (yield)
