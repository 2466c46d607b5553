"""Why a promise was not kept, as fields: reports lay them out, and nothing reads text back."""

from __future__ import annotations

from dataclasses import dataclass

from meshproof.base.escaping import escape_text


@dataclass(frozen=True)
class Failure:
    """What is known of a promise that was not kept; every field but `summary` may be empty.

    `summary` says in one line what happened. `cause` says it whole; it is empty where `expected`
    and `observed` say all of it. `promise` is the sentence that was promised, `location` the
    file:line of its rule. `curl` is a command line that shows one of the requests, `clues` are
    lines on what may be behind it, `diagnosis` is the folder with the evidence.
    """

    summary: str
    cause: str = ""
    promise: str = ""
    location: str = ""
    expected: str = ""
    observed: str = ""
    curl: str = ""
    clues: tuple[str, ...] = ()
    diagnosis: str = ""

    @property
    def parts(self) -> list[tuple[str, str]]:
        """The parts that are known, each with its label, in the order in which people read them."""
        rule = f"rule at {self.location}" if self.location else ""
        promise = ", ".join(part for part in (self.promise, rule) if part)
        parts = (
            ("promise", promise),
            ("cause", self.cause),
            ("expected", self.expected),
            ("observed", self.observed),
            ("see it", self.curl),
            ("clues", "\n".join(self.clues)),
            ("diagnosis", self.diagnosis),
        )
        return [(label, text) for label, text in parts if text]

    @property
    def text(self) -> str:
        """The failure as lines of text: what happened, then its parts."""
        lines = [f"{label}: {text}" for label, text in self.parts if label != "cause"]
        return escape_text("\n".join([self.cause or self.summary, *lines]))


class BrokenPromise(AssertionError):
    """A promise that was seen broken without a judge: some response decides it alone.

    `summary` says what happened in one line, `expected` and `observed` what was to come and what
    came, `curl` is a command line that shows it.
    """

    def __init__(
        self, summary: str, expected: str = "", observed: str = "", curl: str = ""
    ) -> None:
        super().__init__(summary)
        self.expected, self.observed, self.curl = expected, observed, curl

    def __str__(self) -> str:
        failure = Failure(
            self.args[0], expected=self.expected, observed=self.observed, curl=self.curl
        )
        return failure.text
