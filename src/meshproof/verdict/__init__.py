"""The judge: says from answers alone whether a mesh keeps its weights, with error rates.

    judge(["v1", "v2", ...], {"v1": 50, "v2": 50})     weights
    judge(["v1", "v2", ...], ["v1", "v2", "v3"])       each is seen, no other
    judge(["v1", "v2", ...], Baseline({"v1": 180, ...}))  as often as before
    plan({"v1": 50, "v2": 50})                         what that will cost, beforehand

It knows nothing of meshes or HTTP and imports only the standard library; the maths is
specified in statistics.md.
"""

from meshproof.verdict.comparison import Baseline, count_baseline_answers
from meshproof.verdict.judging import Declared, Expect, Judge, judge, replay
from meshproof.verdict.planning import Plan, Scenario, plan
from meshproof.verdict.record import Verdict
from meshproof.verdict.settings import PROFILES, Outcome, Settings, share_alpha
from meshproof.verdict.strikeoff import WrongSplit

__all__ = [
    "PROFILES",
    "Baseline",
    "Declared",
    "Expect",
    "Judge",
    "Outcome",
    "Plan",
    "Scenario",
    "Settings",
    "Verdict",
    "WrongSplit",
    "count_baseline_answers",
    "judge",
    "plan",
    "replay",
    "share_alpha",
]
