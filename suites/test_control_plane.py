"""The control plane is up, every proxy has its config, and `istioctl analyze` finds no error."""

from __future__ import annotations

import pytest

from meshproof.fixtures.control_plane import Look
from meshproof.mesh.protocol import Aspect
from meshproof.run.failure import BrokenPromise

pytestmark = pytest.mark.needs("control-plane")

PROMISES = {
    Aspect.READY: "istiod and the ingress gateway are ready",
    Aspect.INJECTION: "every pod of the apps has its sidecar",
    Aspect.IN_SYNC: "every proxy has acknowledged all that istiod sent it",
    Aspect.ACCEPTED: "no proxy refuses its config",
    Aspect.ANALYSIS: "istioctl analyze finds no error in the apps' namespaces",
    Aspect.VERSIONS: "istiod, proxies and istioctl are of versions that fit",
}


@pytest.mark.promise(7, "control plane: {aspect}", "{statement}")
@pytest.mark.parametrize(("aspect", "statement"), PROMISES.items(), ids=list(PROMISES))
def test_control_plane(look: Look, aspect: Aspect, statement: str) -> None:
    """Promise `statement`: a fault breaks it, and so does an aspect with nothing to look at."""
    report = look(aspect)
    if not report.inspected:
        raise BrokenPromise(f"there was nothing to look at, so nothing shows that {statement}")
    if report.faults:
        raise BrokenPromise(f"not so that {statement}", observed="\n".join(report.faults))
