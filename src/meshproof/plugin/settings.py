"""From pytest's options to what the engine takes: one place, read late."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from meshproof.base.errors import UsageError, nearest

if TYPE_CHECKING:
    import pytest

    from meshproof.mesh.protocol import ClusterOptions
    from meshproof.mesh.protocol import Options as MeshOptions
    from meshproof.rules.judge_options import Option, Options
    from meshproof.traffic.http import Visit
    from meshproof.traffic.sender import Sampling
    from meshproof.traffic.visits import Visits
    from meshproof.user_rules.loading import UserRules
    from meshproof.verdict import Settings

#: The folder, in that for reports, in which the evidence of failures lies.
DIAGNOSIS = "diagnosis"
_PROGRESS = "_meshproof_told"
_RUN_ID = "_meshproof_run_id"
_CHECKS = "_meshproof_checks"
_ADDONS = "_meshproof_addons"
_OWN = "_meshproof_own_rules"
_NOTES = "_meshproof_notes"


def mesh_options(config: pytest.Config) -> MeshOptions:
    """Return how the mesh is to be stood up. Raises UsageError for an option out of its range."""
    from meshproof.mesh.protocol import Options
    from meshproof.rules.model import MtlsMode

    mode = str(config.getoption("mesh_mtls")).upper()
    for known in get_args(MtlsMode):
        if mode == known:
            return Options(
                mtls=known,
                ingress_port=_port(config.getoption("mesh_port")),
                envoy=config.getoption("mesh_envoy"),
                addons=dict(_pair(given) for given in config.getoption("mesh_addon")),
                with_addons=getattr(config, _ADDONS, False),
                cluster=cluster_options(config),
                evidence=_evidence(config),
                beta=_beta(config),
                meanwhile=_prepare_intervals,
            )
    valid = [str(known).lower() for known in get_args(MtlsMode)]
    raise UsageError(f"--mesh-mtls {mode.lower()}: not one of {', '.join(valid)}")


def _evidence(config: pytest.Config) -> Path | None:
    report = config.getoption("mesh_report")
    return Path(report) / DIAGNOSIS if report else None


def cluster_options(config: pytest.Config) -> ClusterOptions:
    """Return which cluster is meant. Raises UsageError for an option that cannot be read."""
    import os

    from meshproof.mesh.cluster.api import images
    from meshproof.mesh.protocol import ClusterOptions
    from meshproof.plugin import cluster_settings

    default = ClusterOptions()
    ingress = config.getoption("mesh_ingress") or default.ingress
    if ingress.count("/") != 1:
        raise UsageError(f"--mesh-ingress {ingress}: expected NAMESPACE/NAME of a Service")
    return ClusterOptions(
        kubeconfig=config.getoption("mesh_kubeconfig") or "",
        context=config.getoption("mesh_context") or "",
        istio_namespace=config.getoption("mesh_istio_namespace") or default.istio_namespace,
        revision=config.getoption("mesh_revision") or "",
        ingress=ingress,
        gateway_url=config.getoption("mesh_gateway_url") or os.environ.get("GATEWAY_URL", ""),
        install=cluster_settings.install(config),
        provider=cluster_settings.provider(config),
        injection=config.getoption("mesh_injection"),
        image_map=images.read_image_changes(config.getoption("mesh_image_map"), "--mesh-image-map"),
        image_prefix=config.getoption("mesh_image_prefix") or "",
        small=bool(config.getoption("mesh_smoke")),
        namespace_labels=cluster_settings.namespace_labels(config),
    )


def _prepare_intervals() -> None:
    from meshproof.verdict import intervals

    intervals.preload()


def _beta(config: pytest.Config) -> float | None:
    beta: float | None = config.getoption("mesh_beta")
    if beta is not None and not 0 < beta < 1:
        raise UsageError(f"--mesh-beta {beta:g}: not a chance (between 0 and 1)")
    return beta


def _port(number: int) -> int:
    if not 0 <= number <= 65535:
        raise UsageError(f"--mesh-port {number}: not a port (0 to 65535)")
    return number


def _pair(given: str) -> tuple[str, str]:
    from meshproof.mesh.addons import names

    name, equals, place = given.partition("=")
    if name not in names() or not equals:
        raise UsageError(
            f"--mesh-addon {given}: expected NAME=PATH or NAME=off with a NAME of "
            f"{', '.join(names())}{nearest(name, names())}"
        )
    return name, place


def judge_settings(
    config: pytest.Config, own: Mapping[str, float], rules: Sequence[Options] = ()
) -> Settings:
    """Return the limits of one check: its own, else its rule's, else the run's, else the profile's.

    `rules` are the options of each rule that the check is about. The run's alpha is shared over all
    checks that were collected, before the first request. Raises UsageError for an option of the run
    that is out of its range, ValueError for one of the check.
    """
    from dataclasses import replace

    from meshproof.rules.judge_options import OPTION_NAMES
    from meshproof.verdict import PROFILES, share_alpha

    profile = PROFILES[config.getoption("mesh_profile")]
    alpha, independence = share_alpha(config.getoption("mesh_alpha"), checks(config))
    settings = replace(profile, alpha=alpha, alpha_independence=independence)
    for name in ("tolerance", "leak", "beta", "budget"):
        if (value := config.getoption(f"mesh_{name}")) is not None:
            try:
                settings = settings.with_values(f"--mesh-{name}", {name: value})
            except ValueError as error:
                raise UsageError(f"the judge's options: {error}") from None
    wrong = [name for name in own if name not in OPTION_NAMES]
    if wrong:
        raise UsageError(f"judge: no setting '{wrong[0]}'{nearest(wrong[0], OPTION_NAMES)}")
    return of_rules(settings, rules).with_values("the check itself", own, is_local=True)


def of_rules(settings: Settings, rules: Sequence[Options]) -> Settings:
    """Return the run's settings with what rules set for themselves.

    Where a check is about several, the strictest of them holds; a rule that says nothing has what
    the run has.
    """
    found = settings
    for name in {option.name: None for options in rules for option in options}:
        said = [{one.name: one for one in options}.get(name) for options in rules]
        strictest = min(said, key=lambda one: _strictness(name, one, settings))
        if strictest is not None:
            found = found.with_values(str(strictest.at), {name: strictest.value}, is_local=True)
    return found


def _strictness(name: str, option: Option | None, run: Settings) -> float:
    """Return a number that is the lower the stricter the option is, the run's where there is none.

    A greater budget is the stricter: it does not end a check before it is decided.
    """
    if name == "budget":
        most = run.budget if option is None else option.value
        return -math.inf if most is None else -most
    if option is None:
        return float(run.unnamed_allowed if name == "unnamed_budget" else getattr(run, name))
    return option.value


def labels(
    sample: Visits | Iterable[str | None], by: str | Callable[[Visit], str | None]
) -> Generator[str | None]:
    """Return the labels of a sample: of visits by the app that answered, labels as they are.

    To be closed when enough was seen: then nothing is under way any more.
    Raises UsageError when visits come without `by`, or labels with it.
    """
    from meshproof.traffic.visits import Visits

    if isinstance(sample, Visits):
        if not by:
            raise UsageError("judge: visits need by=APP or by=FUNCTION")
        return sample.label_by_app(by) if isinstance(by, str) else sample.label_by(by)
    if by:
        raise UsageError("judge: `by` is for visits; these are labels already")
    return (label for label in sample)


def own_rules(config: pytest.Config) -> UserRules:
    """Return the rules of --mesh-rules and their cases, read once. Raises BadRules."""
    found: UserRules | None = getattr(config, _OWN, None)
    if found is None:
        from meshproof.user_rules import loading

        found = loading.load_cached(config.getoption("mesh_rules"), cluster_options(config))
        setattr(config, _OWN, found)
    return found


def checks_of(item: pytest.Item) -> int:
    """Return how many times a test may judge: its mark `checks(n)`, else once.

    A case of own rules that is no split is not judged: it takes no part of the run's alpha.
    """
    mark = item.get_closest_marker("checks")
    if mark is not None:
        return int(mark.args[0])
    case = getattr(getattr(item, "callspec", None), "params", {}).get("rule_case")
    return 1 if case is None else int(case.needs_judge)


def plan_run(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Fix what follows from the collected tests: the number of checks, whether addons start."""
    setattr(config, _ADDONS, any("addon" in getattr(item, "fixturenames", ()) for item in items))
    judging = [item for item in items if "judge" in getattr(item, "fixturenames", ())]
    setattr(config, _CHECKS, sum(checks_of(item) for item in judging))


def checks(config: pytest.Config) -> int:
    """Return the number of checks that the run's alpha is shared over, at least 1."""
    return max(1, int(getattr(config, _CHECKS, 1)))


def sampling(config: pytest.Config) -> Sampling:
    """Return how requests are sent."""
    from meshproof.traffic.sender import Sampling

    return Sampling(
        workers=_count(config, "workers", 64),
        keep_alive=not config.getoption("mesh_fresh_connections"),
        clients=_count(config, "clients", 200),
    )


def _count(config: pytest.Config, name: str, most: int) -> int:
    found = int(config.getoption(f"mesh_{name}"))
    if not 1 <= found <= most:
        raise UsageError(f"--mesh-{name} {found}: expected 1 to {most}")
    return found


def distribution(config: pytest.Config) -> str:
    """Return how pytest-xdist was asked to spread tests over processes (`-n 2`), else nothing."""
    processes = config.getoption("numprocesses", None)
    if processes:
        return f"-n {processes}"
    if processes == 0:
        return ""
    mode = "load" if config.getoption("distload", False) else config.getoption("dist", "no")
    return f"--dist {mode}" if mode != "no" and config.getoption("tx") else ""


def stop_distribution(config: pytest.Config) -> None:
    """Set the options of pytest-xdist to what they are where nobody asks for it."""
    config.option.numprocesses, config.option.dist, config.option.tx = None, "no", []
    config.option.distload = False


def add_note(config: pytest.Config, note: str) -> None:
    """Keep a note on how the run is made, for its reports."""
    setattr(config, _NOTES, [*notes(config), note])


def notes(config: pytest.Config) -> list[str]:
    """Return the notes on how the run is made."""
    run_notes: list[str] = getattr(config, _NOTES, [])
    return run_notes


def run_id(config: pytest.Config) -> str:
    """Return the id that every request of this run carries."""
    found = getattr(config, _RUN_ID, None)
    if found is None:
        found = secrets.token_hex(6)
        setattr(config, _RUN_ID, found)
    return str(found)


def tell_by(config: pytest.Config, told: Callable[[str], None]) -> None:
    """Send progress to `told` from now on."""
    setattr(config, _PROGRESS, told)


def told(config: pytest.Config) -> Callable[[str], None]:
    """Return what to call with a line on what is going on."""
    found: Callable[[str], None] = getattr(config, _PROGRESS, _nobody)
    return found


def _nobody(text: str) -> None:
    """Nobody listens."""
