"""A stand-in for istioctl on PATH; waiting that is soon over."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from meshproof.base import timeouts

FAKE = Path(__file__).parent / "fake_istioctl.py"


Calls = Callable[[], list[list[str]]]


@pytest.fixture
def istioctl_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Put the stand-in on PATH, alone; return what tells the words of its calls so far."""
    folder, log = tmp_path / "bin", tmp_path / "istioctl.log"
    folder.mkdir()
    (folder / "istioctl").write_text(f"#!{sys.executable}\n{FAKE.read_text()}")
    (folder / "istioctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("FAKE_ISTIOCTL_LOG", str(log))
    return lambda: [json.loads(line) for line in log.read_text().splitlines()]


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the config of proxies be waited for half a second at most."""
    monkeypatch.setattr(timeouts, "CONFIG_SERVED", 0.5)
    monkeypatch.setattr(timeouts, "POLL_SLOW", 0.01)
