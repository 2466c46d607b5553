"""The judge: answers in send order go in, a verdict with stated error rates comes out."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice

from meshproof.verdict.comparison import Baseline, Comparison
from meshproof.verdict.independence import Independence, measure_misfit
from meshproof.verdict.presence import Presence
from meshproof.verdict.reasons import explain_verdict
from meshproof.verdict.record import Verdict
from meshproof.verdict.settings import Outcome, Settings, read_names, read_shares
from meshproof.verdict.strikeoff import StrikeOff

Declared = Mapping[str, float] | Iterable[str]
Expect = Declared | Baseline
Decision = tuple[Outcome, str]

#: Later looks come after a further 1 in so many of the answers: 10 million need no million looks.
_LOOKS_OF_COUNT = 1000
_CODES = {
    ("weights", Outcome.PASSED): "struck-off",
    ("weights", Outcome.FAILED): "wrong-split",
    ("weights", Outcome.INCONCLUSIVE): "budget",
    ("presence", Outcome.PASSED): "all-seen",
    ("presence", Outcome.FAILED): "missing",
    ("comparison", Outcome.PASSED): "unmoved",
    ("comparison", Outcome.FAILED): "moved",
    ("comparison", Outcome.INCONCLUSIVE): "unclear",
}


class Judge:
    """Judges one promise while its answers come in.

    expect: weights by version (any scale, 0 allowed), or names of versions of which each
        must be seen and no other. A version that is not named must not answer at all; name
        it with weight 0 to have a leak of `settings.leak` ruled out as well. Or a Baseline: the
        shares of its answers hold still.
    settings: error rates and limits.
    keeps_labels: whether the verdict has the labels, to be judged again.

    Looks fall after every `look_every` answers and at the answer that reaches n_max or the
    budget, however the answers are cut into batches. After many answers they are rarer, by
    whole multiples of `look_every`: fewer looks lower both error rates (statistics.md, section 1),
    and cost at most 1 in 1000 answers more. Raises ValueError if nothing sensible
    is expected.
    """

    def __init__(
        self, expect: Expect, settings: Settings | None = None, keeps_labels: bool = True
    ) -> None:
        self.settings = settings or Settings()
        self.keeps_labels = keeps_labels
        self.independence: Independence | None = None
        self.baseline: dict[str, int] = {}
        self.test: StrikeOff | Presence | Comparison
        if isinstance(expect, Baseline):
            self.kind, self.baseline = "comparison", dict(expect.counts)
            self.expected = read_shares(expect.counts)
            self.test = Comparison(expect, self.settings)
        elif isinstance(expect, Mapping):
            self.kind, self.expected = "weights", read_shares(expect)
            self.test = StrikeOff(self.expected, self.settings)
            if self.settings.independence and max(self.expected.values()) < 1:
                self.independence = Independence(self.expected)
        else:
            names = read_names(expect, self.settings.present)
            self.kind = "presence"
            self.expected = dict.fromkeys(names, self.settings.present)
            self.test = Presence(names, self.settings)
        self.limit = min(self.test.n_max, self.settings.budget or self.test.n_max)
        self.counts = dict.fromkeys(self.expected, 0)
        self.labels: list[str | None] = []
        self.n = self.unnamed = self.answer_count = self.evaluated_count = 0
        self.next_look = self.settings.look_every
        self.decided: Verdict | None = None

    def feed(self, batch: Iterable[str | None]) -> Verdict | None:
        """Count answers in send order; return the verdict, or None to go on.

        None and "" stand for an answer that names no version. Answers after the one that decides
        are ignored.
        """
        source = iter(batch)
        while not self.decided and (labels := list(islice(source, self.count_until_look()))):
            self._count_labels([label or None for label in labels])
            if self.answer_count == self.next_look:
                self.next_look += self._find_look_step()
                self._evaluate()
            elif self.n == self.limit:
                self._evaluate()
        return self.decided

    def count_until_look(self) -> int:
        """Return how many answers may come before the next look."""
        return min(self.next_look - self.answer_count, self.limit - self.n)

    def _find_look_step(self) -> int:
        """Return how many answers after this look the next one falls."""
        look_every = self.settings.look_every
        return look_every * max(1, self.answer_count // (_LOOKS_OF_COUNT * look_every))

    def verdict(self) -> Verdict:
        """Return the verdict so far, inconclusive if that is not enough; changes nothing."""
        if self.decided:
            return self.decided
        judge = copy.deepcopy(self)
        if judge.evaluated_count < judge.answer_count:
            judge._evaluate()
        if judge.decided:
            return judge.decided
        if not self.answer_count:
            code = "empty"
        elif self.n == 0 or self.unnamed > self._unnamed_allowed(self.answer_count):
            code = "errors"
        else:
            code = "budget"
        return judge._build_verdict(Outcome.INCONCLUSIVE, code)

    def _count_labels(self, labels: list[str | None]) -> None:
        """Add answers to the counts."""
        self.answer_count += len(labels)
        if self.keeps_labels:
            self.labels += labels
        named = [label for label in labels if label is not None]
        self.unnamed += len(labels) - len(named)
        self.n += len(named)
        for label, count in Counter(named).items():
            self.counts[label] = self.counts.get(label, 0) + count
        if self.independence:
            self.independence.add([label for label in named if self.expected.get(label)])

    def _evaluate(self) -> None:
        """Decide by the answers so far, if they are enough."""
        self.evaluated_count = self.answer_count
        if decision := self._decide():
            self.decided = self._build_verdict(*decision)

    def _decide(self) -> Decision | None:
        """Return what these answers decide. An answer that must never come beats all else."""
        if certain := self._find_certain_fault():
            return certain
        if self.unnamed > self._unnamed_allowed(self.answer_count + self.limit - self.n):
            return Outcome.INCONCLUSIVE, "errors"
        outcome = self.test.look(self.counts, self.n)
        decision = self._judge_order(outcome) or self._judge_shares(outcome)
        if decision and self.unnamed > self._unnamed_allowed(self.answer_count):
            return Outcome.INCONCLUSIVE, "errors"
        return decision

    def _find_certain_fault(self) -> Decision | None:
        """Return the failure for an answer that must never come."""
        if self.kind == "comparison":
            return None
        if len(self.counts) > len(self.expected):
            return Outcome.FAILED, "undeclared"
        if any(self.counts[version] for version, share in self.expected.items() if share <= 0):
            return Outcome.FAILED, "weight-zero"
        return None

    def _judge_order(self, outcome: Outcome | None) -> Decision | None:
        """Judge the order of the answers, given what the shares alone would decide.

        The e-values refute independent draws *with the declared shares*, so wrong shares
        raise them, too. The order is named as the cause only where it fits 1/beta times
        better than independent draws with any shares: a plain wrong split is then called
        correlated at most beta of the time (universal inference, Wasserman 2020).
        """
        if not self.independence:
            return None
        over, under = self.independence.log_evalues()
        limit = math.log(2 / self.settings.alpha_independence)
        by_shares = measure_misfit(self.counts, self.expected) - math.log(self.settings.beta)
        if under >= limit:
            return Outcome.FAILED, "round-robin" if under >= by_shares else "wrong-split"
        if over >= limit and (over >= by_shares or outcome is Outcome.PASSED):
            return Outcome.INCONCLUSIVE, "correlated"
        return None

    def _judge_shares(self, outcome: Outcome | None) -> Decision | None:
        """Return what the shares decide, inconclusive when the budget is spent."""
        if outcome is None:
            return (Outcome.INCONCLUSIVE, "budget") if self.n >= self.limit else None
        return outcome, _CODES[self.kind, outcome]

    def _unnamed_allowed(self, answers: int) -> float:
        """Return how many of `answers` may name no version."""
        if self.kind == "weights" and not {0.0, 1.0}.isdisjoint(self.expected.values()):
            return 0
        budget = self.settings.unnamed_allowed
        if budget >= 1 or budget == 0:
            return budget
        return max(1, math.floor(budget * answers))

    def _build_verdict(self, outcome: Outcome, code: str) -> Verdict:
        """Return the verdict with this outcome and code, and the evidence so far."""
        over, under = self.independence.log_evalues() if self.independence else (0.0, 0.0)
        verdict = Verdict(
            outcome=outcome,
            code=code,
            reason="",
            kind=self.kind,
            n=self.n,
            counts=dict(self.counts),
            unnamed=self.unnamed,
            expected=dict(self.expected),
            settings=self.settings,
            n_max=self.test.n_max,
            labels=tuple(self.labels),
            over=over,
            under=under,
            splits=self.test.splits() if isinstance(self.test, StrikeOff) else (),
            baseline=self.baseline,
        )
        return replace(verdict, reason=explain_verdict(verdict))


def judge(
    labels: Iterable[str | None],
    expect: Expect,
    settings: Settings | None = None,
    keeps_labels: bool = True,
) -> Verdict:
    """Judge answers in send order, pulling them lazily and stopping once decided.

    Without `keeps_labels` the verdict has no labels, and cannot be replayed: the memory does not
    grow with the answers.

    Labels that run out too early give an inconclusive verdict, never a pass.
    """
    judge = Judge(expect, settings, keeps_labels)
    source = iter(labels)
    while batch := list(islice(source, judge.count_until_look())):
        if verdict := judge.feed(batch):
            return verdict
    return judge.verdict()


def replay(verdict: Verdict) -> Verdict:
    """Judge the stored answers again: the same outcome, n and reason, or it was tampered with."""
    expect: Expect = verdict.expected if verdict.kind == "weights" else tuple(verdict.expected)
    if verdict.kind == "comparison":
        expect = Baseline(verdict.baseline)
    return judge(verdict.labels, expect, verdict.settings)
