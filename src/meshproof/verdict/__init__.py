"""The judge: says from answers alone whether a mesh keeps its weights, with error rates.

    judge(["v1", "v2", ...], {"v1": 50, "v2": 50})     weights
    judge(["v1", "v2", ...], ["v1", "v2", "v3"])       each is seen, no other

It knows nothing of meshes or HTTP and imports only the standard library; the maths is
specified in statistics.md.
"""

from .judge import Judge, judge, replay
from .record import Verdict
from .settings import PROFILES, Outcome, Settings, share_alpha
from .strikeoff import WrongSplit

__all__ = [
    "PROFILES",
    "Judge",
    "Outcome",
    "Settings",
    "Verdict",
    "WrongSplit",
    "judge",
    "replay",
    "share_alpha",
]
