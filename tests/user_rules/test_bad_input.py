"""What a user gets wrong is said with its place and the nearest word, and nothing is left."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.user_rules.test_compare_command import SWAPPED
from tests.user_rules.test_intent import RULES

Run = Callable[..., Any]
WORKLOADS = """\
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}}}
"""
URL = "http://shop.example/cart"
OTHER = RULES.replace("shop.example", "other.example")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a git repository with rules in `k8s`, and others beside them."""
    for name, text in (("k8s", RULES + WORKLOADS), ("other", OTHER)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shop.yaml").write_text(text)
    for arguments in (
        ("init", "-q", "-b", "main"),
        ("add", "."),
        ("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", "rules"),
    ):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def list_processes_in(folder: Path) -> list[str]:
    """Return the processes that work in a folder: what a command has left running."""
    left = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == folder:
                left.append((process / "cmdline").read_text())
    return left


#: The command -> its exit code, and what it says.
COMMANDS: dict[tuple[str, ...], tuple[int, str]] = {
    ("explain", "k8s", "http://shop.exmaple/"): (64, "did you mean 'shop.example'?"),
    ("explain", "k8s", "http://shop.example:81/"): (64, "no Gateway serves shop.example at port"),
    ("explain", "k8s", "shop.example", "-H", "x-beta"): (64, "'x-beta': expected 'name: value'"),
    ("explain", "k8s", "http://cart/", "--from", "shop/wbe"): (64, "did you mean 'shop/web'?"),
    ("explain", "k9s", URL): (65, "k9s:1:1: cannot be read: No such file or directory; did you"),
    ("compare", "k8s", "k9s"): (65, "did you mean 'k8s'?"),
    ("try", "k8s", "http://shop.exmaple/", "--for", "0"): (64, "did you mean 'shop.example'?"),
    ("try", "k8s", URL, "--from", "shop/wbe", "--for", "0"): (64, "did you mean 'shop/web'?"),
    ("compare", "main:k9s", "k8s"): (64, "revision main has no k9s; did you mean 'k8s'?"),
    ("compare", "main:k8s/shop.yml", "k8s"): (64, "did you mean 'k8s/shop.yaml'?"),
    ("compare", "mian:k8s", "k8s"): (64, "did you mean 'main'?"),
    ("compare", "k8s", "other"): (64, "have no host in common: shop.example, and other.example"),
    ("compare", "k8s", "k8s@isitod"): (64, "did you mean 'istiod'?"),
    ("compare", "k8s", "k8s", "--expect-changes", "no"): (64, "no: No such file or directory"),
    ("test", "--rules", "k8s", "--intent", "no"): (64, "--intent no: No such file or directory"),
}
#: An expectation -> what is said of it.
EXPECTATIONS = {
    "{name: a, requets: {host: shop.example}, to: cart}": "did you mean 'request'?",
    "{name: a, request: {hots: shop.example}, to: cart}": "did you mean 'host'?",
    "{name: a, request: {host: shop.example}, to: crat}": "did you mean 'cart'?",
    "{name: a, request: {host: shop.example}, to: cart v3}": "did you mean 'cart v",
    "{name: a, request: {host: shop.exmaple}, to: cart}": "did you mean 'shop.example'?",
    "{name: a, request: {host: cart, from: shop/wbe}, to: cart}": "did you mean 'shop/web'?",
}


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_wrong_word_is_named_with_the_nearest(
    meshproof: Run, folder: Path, arguments: tuple[str, ...]
) -> None:
    code, words = COMMANDS[arguments]
    ended = meshproof(*arguments)
    assert (ended.code, words in ended.output) == (code, True), ended.output
    assert list_processes_in(folder) == []


@pytest.mark.parametrize("command", [("plan", "k8s"), ("test", "--rules", "k8s")], ids=" ".join)
@pytest.mark.parametrize("expectation", EXPECTATIONS)
def test_a_wrong_expectation_is_named_with_its_line(
    meshproof: Run, folder: Path, command: tuple[str, ...], expectation: str
) -> None:
    (folder / "k8s/meshproof.yaml").write_text(f"intent:\n- {expectation}\n")
    ended = meshproof(*command)
    assert ended.code == 65, ended.output
    output = " ".join(ended.output.split())
    assert "k8s/meshproof.yaml:2:" in output
    assert EXPECTATIONS[expectation] in output


def test_an_expected_change_of_no_request_is_named_with_the_nearest(
    meshproof: Run, folder: Path
) -> None:
    (folder / "new.yaml").write_text(
        RULES.partition("apiVersion: networking.istio.io/v1\nkind: V")[0] + SWAPPED
    )
    (folder / "changes.txt").write_text("GET shop.example/crat\n")
    given = ("--no-send", "--expect-changes", "changes.txt")
    ended = meshproof("compare", "k8s", "new.yaml", *given)
    assert ended.code == 1, ended.output
    assert "GET shop.example/crat; did you mean 'GET shop.example/cart'?" in ended.output
