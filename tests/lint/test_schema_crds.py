"""The shapes of Istio's and Gateway API's kinds are what their CRDs say.

Where the Go module cache holds the CRDs, every file must be what they give; Istio's own valid and
invalid objects, which are there too, must be found valid and invalid.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from meshproof.documents.manifest import parse
from meshproof.lint import Level, lint
from tests.lint import shapes_from_crds

MODULES = shapes_from_crds.find_modules()
needs_crds = pytest.mark.skipif(
    len(MODULES) < len(shapes_from_crds.CRDS), reason="no CRDs in the Go module cache"
)
ISTIO = MODULES.get("istio.io/istio", Path("istio"))
#: Istio's own valid examples in which something of earlier versions is meant to be found.
OLD_FORMS = ("bookinfo-ingress.yaml", "bookinfo-certificate.yaml", "certmanager-gateway.yaml")


@needs_crds
def test_shapes_are_what_the_crds_say() -> None:
    texts = shapes_from_crds.build_files()
    assert texts
    for path, content in texts.items():
        assert path.read_text() == content, f"{path.name}: run tests/lint/shapes_from_crds.py"


@needs_crds
@pytest.mark.parametrize("kind", ["destinationrule", "peerauth", "reqauth", "workloadgroup"])
def test_valid_objects_of_istio_have_no_finding(kind: str) -> None:
    file = ISTIO / "pkg/config/validation/testdata/crds" / f"{kind}-valid.yaml"
    findings = lint(parse(file.read_text(), file.name), suppress=["MP0206", "MP0209"])
    assert [str(finding) for finding in findings if finding.code < "MP03"] == []


@needs_crds
def test_what_the_crds_refuse_by_shape_is_found() -> None:
    """Of the refused objects, those that only a rule between several values refuses stay."""
    folder = ISTIO / "pkg/config/validation/testdata/crds"
    shape_errors = ("Required value", "must be of type", "Unsupported value", "or equal to")
    missed = []
    for file in sorted(folder.glob("*-invalid.yaml")):
        for document in filter(None, yaml.safe_load_all(file.read_text())):
            error = document.pop("_err", "")
            if any(word in error for word in shape_errors):
                findings = lint(parse(yaml.safe_dump(document), file.name))
                unread = any(finding.code == "MP0203" for finding in findings)
                if not unread and not any(finding.level is Level.ERROR for finding in findings):
                    missed.append(f"{file.name}: {error}")
    assert missed == []


@needs_crds
@pytest.mark.parametrize("folder", ["networking", "gateway-api", "platform/kube"])
def test_bookinfo_of_istio_has_no_finding(folder: str) -> None:
    files = sorted((ISTIO / "samples/bookinfo" / folder).glob("*.yaml"))
    assert files
    for file in files:
        if file.name not in OLD_FORMS:
            findings = lint(parse(file.read_text(), file.name))
            assert [str(finding) for finding in findings if finding.code < "MP03"] == []
