"""What lint keeps of each object: 100 000 of them are to fit in 1 GiB."""

from __future__ import annotations

import tracemalloc

from meshproof.documents.manifest import parse
from meshproof.lint import lint
from tests.bench.bench_own_rules import rules


def test_an_object_takes_no_more_than_nine_kilobytes() -> None:
    lint(parse(rules(20), "small.yaml"))  # what is loaded once belongs to no object
    text = rules(1_000)
    tracemalloc.start()
    try:
        documents = parse(text, "rules.yaml")
        lint(documents)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(documents) == 2_000
    assert peak / len(documents) <= 9_000
