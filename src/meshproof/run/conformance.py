"""What a run says of a mesh's conformance: profiles of two levels, as Gateway API has them.

A level says how many of its promises were kept: core is what every mesh must do, extended what one
may leave out. A level that is a `success` has had tests, each of them passed, and the run was
complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from meshproof.mesh.protocol import Feature
from meshproof.run.record import Outcome, Result, Run

#: What a mesh without cannot route as rules say: a promise that needs no more is core.
CORE_FEATURES = frozenset({Feature.HTTP_WEIGHTS, Feature.HEADER_MATCH, Feature.INGRESS})
#: The profile of promises that no rule of a routing dialect is about, and that of a user's rules.
MESH_PROFILE, OWN_RULES_PROFILE = "mesh", "own rules"
#: Policies: they are no dialect of routing.
_POLICIES = "PeerAuthentication"
_NOT_RUN = (Outcome.SKIPPED, Outcome.NOT_SUPPORTED)


class Conformance(StrEnum):
    """The result of a level, in the words of Gateway API. Only SUCCESS is green."""

    SUCCESS = "success"
    PARTIAL = "partial"
    FAILURE = "failure"


@dataclass(frozen=True)
class Level:
    """The promises of one level. What this mesh cannot have is none of them, but for core.

    `is_complete`: the run has told all that it was to tell; it lacks no promise of this level.
    """

    results: tuple[Result, ...]
    is_complete: bool = True

    @property
    def passed(self) -> list[Result]:
        """The promises that were kept."""
        return [result for result in self.results if result.outcome is Outcome.PASSED]

    @property
    def skipped(self) -> list[Result]:
        """The promises that were not tested."""
        return [result for result in self.results if result.outcome in _NOT_RUN]

    @property
    def failed(self) -> list[Result]:
        """The promises that were tested and not seen kept: an undecided one, too, is here."""
        return [
            result
            for result in self.results
            if result.outcome is not Outcome.PASSED and result.outcome not in _NOT_RUN
        ]

    @property
    def conformance(self) -> Conformance:
        """What the level says of the mesh; of one without a promise that ran, not success."""
        if self.failed:
            return Conformance.FAILURE
        is_whole = self.is_complete and self.passed and not self.skipped
        return Conformance.SUCCESS if is_whole else Conformance.PARTIAL


@dataclass(frozen=True)
class Profile:
    """One dialect of routing rules, a user's own rules, or the mesh itself.

    `supported` and `unsupported` name features that the extended promises need; `beyond` are
    the extended promises that this mesh cannot have.
    """

    name: str
    core: Level
    extended: Level
    supported: tuple[str, ...]
    unsupported: tuple[str, ...]
    beyond: tuple[Result, ...]


def build_profiles(run: Run) -> list[Profile]:
    """Return the profiles of a run in the order of their first results."""
    by_name: dict[str, list[Result]] = {}
    for result in run.results:
        by_name.setdefault(_name_profile(result), []).append(result)
    is_complete = not (
        run.interrupted or run.error or run.unreached or len(run.results) < run.planned
    )
    return [
        _build_profile(name, results, run.supports, is_complete)
        for name, results in by_name.items()
    ]


def _name_profile(result: Result) -> str:
    if result.is_user_case:
        return OWN_RULES_PROFILE
    return MESH_PROFILE if result.dialect in ("", _POLICIES) else result.dialect


def _build_profile(
    name: str, results: Sequence[Result], supports: Sequence[str], is_complete: bool
) -> Profile:
    """Return the profile of its results; `supports` are the features of the mesh.

    A feature that only broken promises need is neither supported nor unsupported.
    """
    extended = [result for result in results if not CORE_FEATURES.issuperset(result.features)]
    beyond = tuple(result for result in extended if result.is_beyond_mesh)
    is_supported: dict[str, bool] = {}
    for result in extended:
        if result.outcome is not Outcome.SKIPPED:
            for feature in set(result.features) - CORE_FEATURES:
                if feature in supports or result.outcome is Outcome.PASSED:
                    is_supported[feature] = True
                elif result.outcome is Outcome.NOT_SUPPORTED:
                    is_supported.setdefault(feature, False)
    return Profile(
        name,
        Level(tuple(result for result in results if result not in extended), is_complete),
        Level(tuple(result for result in extended if result not in beyond), is_complete),
        tuple(sorted(feature for feature, has_it in is_supported.items() if has_it)),
        tuple(sorted(feature for feature, has_it in is_supported.items() if not has_it)),
        beyond,
    )
