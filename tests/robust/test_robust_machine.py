"""A machine that lacks threads or space ends a run with exit code 70, with no promise broken."""

from __future__ import annotations

import json

import pytest

from tests.robust.real_runs import MESHPROOF, CommandRunner

#: A pytest plugin: the process gets no more threads once the mesh is up.
NO_THREADS = """
import threading

import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call():
    def refuse(thread):
        raise RuntimeError("can't start new thread")
    threading.Thread.start = refuse
"""
USER_TESTS = """
import threading

def test_visit(visit):
    visit("/productpage").take(1)

def test_judge(visit, judge):
    judge(visit("/productpage"), by="reviews", expect=["v1", "v2", "v3"])

def test_thread_of_the_users(mesh):
    threading.Thread(target=print).start()

def read_labels():
    yield "v1"
    raise OSError("no labels on this disk")

def test_labels_of_the_users(judge):
    judge(read_labels(), expect={"v1": 1})
"""


@pytest.mark.local
def test_no_more_threads_in_a_users_test(runner: CommandRunner) -> None:
    (runner.folder / "no_threads.py").write_text(NO_THREADS)
    (runner.folder / "test_own.py").write_text(USER_TESTS)
    command = (*MESHPROOF, "test", "-p", "no_threads", "--report", "rep", "test_own.py")
    result = runner.run(*command, PYTHONPATH=str(runner.folder))
    record = json.loads((runner.folder / "rep" / "run.json").read_text())
    outcomes = {result["promise"]: result["outcome"] for result in record["results"]}
    assert outcomes == {
        "test_visit": "passed",
        "test_judge": "internal error",
        "test_thread_of_the_users": "failed",
        "test_labels_of_the_users": "failed",
    }, result.output
    assert result.code == 70
    runner.assert_no_leftovers()
