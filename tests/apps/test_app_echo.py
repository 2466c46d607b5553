"""The echo workload answers anything with what it got and who it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.apps.conftest import Start


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/health", "/a/b%20c?d=e"])
def test_echo_tells_what_it_got(start: Start, method: str, path: str) -> None:
    app = start("echo", "cart", HOSTNAME="cart-v2-x", SERVICE_VERSION="v2")
    answer = app.ask(path, {"X-Tag": "t"}, method=method)
    got = json.loads(answer.text)
    assert (answer.status, got.pop("headers")["x-tag"]) == (200, "t")
    assert got == {
        "service": "cart",
        "version": "v2",
        "pod": "cart-v2-x",
        "method": method,
        "path": path,
    }
