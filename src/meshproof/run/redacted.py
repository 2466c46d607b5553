"""The record of a run without secrets: no report has one that the record has not."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

from meshproof.base.redaction import redact_tokens
from meshproof.run.record import Result, Run
from meshproof.verdict import Verdict

T = TypeVar("T")
#: Many cases say the same: of the rules, of a cause.
_redact_once = lru_cache(maxsize=4096)(redact_tokens)


def redact_result(result: Result) -> Result:
    """Return a result without what is a secret by its form. Verdicts stay: they are counts."""
    return _redact(result)


def redact_run(run: Run) -> None:
    """Remove what is a secret by its form from all of a run but its results, in place."""
    for field in fields(run):
        if field.name != "results":
            setattr(run, field.name, _redact(getattr(run, field.name)))


def _redact(value: T) -> T:
    """Return a value of the same type; texts within it are redacted."""
    redacted: Any = value
    if type(value) is str:
        redacted = _redact_once(value)
    elif isinstance(value, (list, tuple)):
        redacted = type(value)(map(_redact, value))
    elif is_dataclass(value) and not isinstance(value, (Verdict, type)):
        texts = {field.name: getattr(value, field.name) for field in fields(value)}
        redacted = replace(value, **{name: _redact(text) for name, text in texts.items()})
    return redacted  # type: ignore[no-any-return]
