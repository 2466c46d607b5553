"""`tox -e differential -- --sets N --seed S`: generated sets on both meshes, compared."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from meshproof.base.errors import MeshproofError
from meshproof.base.names import MESH
from meshproof.mesh.agreement import read_agreement
from meshproof.oracle.derive import Call
from tests.differential.comparing import Comparer, Comparison, Difference, write_objects
from tests.differential.coverage import FieldTrials
from tests.differential.field_examples import FIELD_EXAMPLES
from tests.differential.generator import KINDS_LEFT_OUT, GeneratedSet, generate_set
from tests.differential.meshes import open_pair
from tests.differential.open_differences import OPEN
from tests.differential.reducing import reduce
from tests.mesh.istiod.conftest import LAB

#: At most so many smaller sets are tried for one difference.
_REDUCING_STEPS = 60
_DEFAULT_SETS = 60


@dataclass(frozen=True)
class Options:
    """What to run: `sets` of them, or what fits into `seconds`, but `least` of them in any case.

    `reduced` kinds of difference are made smaller. From `trials` more sets fields are taken away,
    for the table of fields. `older` is an istiod to compare with in place of the local mesh.
    `record` is the file that gets a line of figures. A published run is noted in
    mesh/agreement.ini.
    """

    istiod: str
    sets: int = _DEFAULT_SETS
    seed: int = 0
    seconds: float = float("inf")
    least: int = 0
    reduced: int = 20
    trials: int = 0
    older: str = ""
    record: str = ""
    is_published: bool = False


@dataclass
class Report:
    """What a run has compared: counts, and how many sets show each kind of difference."""

    sets: int = 0
    served: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    cases: int = 0
    requests: int = 0
    unserved: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    istiod: str = ""

    @property
    def unexplained(self) -> list[str]:
        """The kinds of difference that nobody has explained yet."""
        return [kind for kind in self.kinds if find_explanation(kind) is None]

    def add(self, comparison: Comparison) -> list[Difference]:
        """Count one set; return its differences of kinds that no earlier set has shown."""
        self.sets += 1
        self.cases += comparison.judged_cases
        for counts, reason in (
            (self.refused, comparison.refused),
            (self.unserved, comparison.unserved),
        ):
            counts.update([reason] if reason else [])
        self.served += comparison.is_served
        by_kind: dict[str, Difference] = {}
        for difference in comparison.differences:
            by_kind.setdefault(difference.kind, difference)
        new = [difference for kind, difference in by_kind.items() if kind not in self.kinds]
        self.kinds.update(by_kind.keys())
        return new

    def make_record(self, seed_number: int) -> dict[str, object]:
        """Return the figures of a run as a line of the record."""
        return {
            "date": datetime.now(UTC).date().isoformat(),
            "istiod": self.istiod,
            "seed": seed_number,
            "sets": self.sets,
            "served": self.served,
            "refused": self.refused.total(),
            "unserved": self.unserved.total(),
            "requests": self.requests,
            "cases": self.cases,
            "differences": dict(self.kinds),
            "unexplained": sorted(self.unexplained),
        }

    def describe(self) -> str:
        """Return the figures."""
        lines = [
            f"{self.sets} sets: {self.served} served by both, {self.refused.total()} refused by "
            f"both, {self.unserved.total()} not supported by local; {self.requests} requests, "
            f"{self.cases} cases of the oracle",
            f"differences: {len(self.unexplained)} kinds without an explanation",
        ]
        for kind, count in self.kinds.most_common():
            why = find_explanation(kind)
            lines.append(f"  {count:4} {kind}{f' (open: {why})' if why else ''}")
        for title, counts in (
            ("not supported by local", self.unserved),
            ("refused by both", self.refused),
        ):
            lines.append(f"{title}:")
            lines += [f"  {count:4} {reason}" for reason, count in counts.most_common()]
        lines += ["kinds left out:", *(f"  {kind}: {why}" for kind, why in KINDS_LEFT_OUT.items())]
        return "\n".join(lines)


def find_explanation(kind: str) -> str | None:
    """Return why a kind of difference is known and not mended, None if it is not known."""
    return next((why for pattern, why in OPEN.items() if re.search(pattern, kind)), None)


def run(options: Options, write: Callable[[str], None]) -> Report:
    """Compare generated sets; write each new kind of difference, and the figures."""
    report = Report()
    end = time.monotonic() + options.seconds
    with (
        open_pair(options.istiod, options.older) as pair,
        contextlib.closing(Comparer(pair)) as comparer,
    ):
        write(f"differential: {pair.title}, seed {options.seed}, {options.sets} sets")
        names = [side.name for side in pair.sides]

        def visit(generated: GeneratedSet) -> bool:
            comparison = compare_set(comparer, generated)
            for difference in report.add(comparison):
                smaller = generated
                if find_explanation(difference.kind):
                    continue  # the figures have it
                if len(report.unexplained) <= options.reduced:
                    smaller, difference = _reduce(comparer, generated, difference)
                write(_describe(report.sets, smaller, difference, names))
            return time.monotonic() < end or report.sets < options.least

        try:
            visit_sets(options.sets, options.seed, visit)
        finally:  # what a run that is broken off has compared, counts, too
            report.requests = comparer.requests
            report.istiod = pair.istiod.version
            write(report.describe())
            if options.record:
                with Path(options.record).open("a") as file:
                    file.write(f"{json.dumps(report.make_record(options.seed))}\n")
        if options.trials:
            write(_try_fields(comparer, options).describe())
    return report


def _try_fields(comparer: Comparer, options: Options) -> FieldTrials:
    """Take fields away that have changed no answer yet: first from the examples of all fields."""
    trials = FieldTrials(comparer.changes_answer)
    end = time.monotonic() + options.seconds
    for example in FIELD_EXAMPLES:
        trials.try_all(example)

    def visit(generated: GeneratedSet) -> bool:
        with contextlib.suppress(MeshproofError):  # the comparison of sets lists errors
            trials.try_set(generated)
        return bool(trials.unproven) and time.monotonic() < end

    visit_sets(options.trials, options.seed, visit)
    return trials


def visit_sets(count: int, seed_number: int, visit: Callable[[GeneratedSet], bool]) -> None:
    """Call `visit` with generated sets, always the same for a seed, until it returns False."""
    source = random.Random(seed_number)
    for _ in range(count):
        if not visit(generate_set(source)):
            return


def compare_set(comparer: Comparer, generated: GeneratedSet, asks_cases: bool = True) -> Comparison:
    """Compare one set; an error of ours is a difference, too."""
    try:
        return comparer.compare(generated, asks_cases)
    except (ArithmeticError, LookupError, MeshproofError, TypeError, ValueError) as error:
        return Comparison([Difference(f"error: {type(error).__name__}", None, str(error), "")])


def _reduce(
    comparer: Comparer, generated: GeneratedSet, difference: Difference
) -> tuple[GeneratedSet, Difference]:
    """Return the smallest set found with a difference of the same kind, and that difference."""
    if difference.call is not None:
        generated = replace(generated, calls=(difference.call,))
    seen = [difference]

    def shows(smaller: GeneratedSet) -> bool:
        comparison = compare_set(comparer, smaller, difference.kind.startswith("oracle"))
        same = [other for other in comparison.differences if other.kind == difference.kind]
        seen.extend(same[:1])
        return bool(same)

    return reduce(generated, shows, _REDUCING_STEPS), seen[-1]


def _describe(
    number: int, generated: GeneratedSet, difference: Difference, names: Sequence[str]
) -> str:
    """Return one difference with its smallest world and request."""
    lines = [
        f"\n=== set {number}: {difference.kind}",
        write_objects(generated.objects).rstrip(),
        f"request  {_describe_call(difference.call) if difference.call else 'none'}",
        f"{names[0]:8} {difference.local}",
        f"{names[1]:8} {difference.istiod}",
        difference.oracle,
    ]
    return "\n".join(filter(None, lines))


def _describe_call(call: Call) -> str:
    """Return a request in words: who sends it where, and how."""
    labels = ",".join(f"{name}={value}" for name, value in call.source)
    caller = f"{call.namespace} {labels}".strip() if call.gateway == MESH else "outside"
    headers = "".join(f" -H '{name}: {value}'" for name, value in call.headers)
    host = f"-H 'Host: {call.host_header}'"
    return f"from {caller} to port {call.port}: {call.method} {call.request_target} {host}{headers}"


def read_options(arguments: list[str] | None = None) -> Options:
    """Return the options of the command."""
    parser = argparse.ArgumentParser(prog="differential", description=__doc__)
    parser.add_argument("--sets", type=int, default=_DEFAULT_SETS)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--istiod", default=os.environ.get("MESHPROOF_ISTIOD", ""))
    parser.add_argument("--older", default="", help="an istiod in place of the local mesh")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument(
        "--publish", action="store_true", help="note what agreed for the sentence of a run"
    )
    parser.add_argument("--reduced", type=int, default=20, metavar="KINDS")
    parser.add_argument(
        "--trials", type=int, default=0, metavar="SETS", help="print the table of fields"
    )
    parser.add_argument("--record", default="", metavar="FILE", help="append a line of figures")
    chosen = parser.parse_args(arguments)
    istiod = chosen.istiod or shutil.which("pilot-discovery", path=LAB) or "pilot-discovery"
    return Options(
        istiod,
        chosen.sets,
        chosen.seed,
        chosen.seconds,
        reduced=chosen.reduced,
        trials=0 if chosen.older else chosen.trials,
        older=find_older(chosen.older),
        record=chosen.record,
        is_published=chosen.publish and not chosen.older,
    )


def find_older(given: str) -> str:
    """Return the older istiod: as given; for the word `lab` the one that `lab istiod` builds."""
    return str(LAB / "pilot-discovery-older") if given == "lab" else given


def _write(text: str) -> None:
    """Write a text at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the command; return its exit code."""
    if (LAB / "etcd").exists():
        os.environ.setdefault("KUBEBUILDER_ASSETS", str(LAB))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = read_options()
    report = run(options, _write)
    if options.is_published and not report.unexplained:
        agreement = read_agreement().add(report.istiod, report.served, datetime.now(UTC).date())
        agreement.write()
        _write(f"published{agreement.describe()}")
    return 1 if report.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
