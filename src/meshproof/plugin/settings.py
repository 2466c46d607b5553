"""Turns pytest's options into the options of the engine.

Imported late: without our options a run loads nothing heavy. Values of the run are attributes of
pytest's config.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from meshproof.base.errors import UsageError, suggest_nearest

if TYPE_CHECKING:
    import pytest

    from meshproof.mesh.http import HttpResponse
    from meshproof.mesh.protocol import ClusterOptions
    from meshproof.mesh.protocol import Options as MeshOptions
    from meshproof.rules.judge_options import Option, Options
    from meshproof.traffic.sender import Sampling
    from meshproof.traffic.visits import Visits
    from meshproof.user_rules.loading import UserRules
    from meshproof.verdict import Settings

#: Folder below the report folder for the evidence of failures.
DIAGNOSIS = "diagnosis"
_PROGRESS = "_meshproof_told"
_RUN_ID = "_meshproof_run_id"
_CHECKS = "_meshproof_checks"
_ADDONS = "_meshproof_addons"
_USER_RULES = "_meshproof_own_rules"
_NOTES = "_meshproof_notes"


def read_mesh_options(config: pytest.Config) -> MeshOptions:
    """Return the options of the mesh. Raises UsageError for an option out of its range."""
    from meshproof.mesh.protocol import Options
    from meshproof.rules.model import MtlsMode

    mode = str(config.getoption("mesh_mtls")).upper()
    for mtls_mode in get_args(MtlsMode):
        if mode == mtls_mode:
            return Options(
                mtls=mtls_mode,
                ingress_port=_check_port(config.getoption("mesh_port")),
                envoy=config.getoption("mesh_envoy"),
                addons=dict(_read_addon_option(text) for text in config.getoption("mesh_addon")),
                with_addons=getattr(config, _ADDONS, False),
                cluster=read_cluster_options(config),
                evidence=_find_evidence_folder(config),
                beta=_read_beta(config),
                while_pods_start=_prepare_intervals,
            )
    valid = [str(mtls_mode).lower() for mtls_mode in get_args(MtlsMode)]
    raise UsageError(f"--mesh-mtls {mode.lower()}: not one of {', '.join(valid)}")


def _find_evidence_folder(config: pytest.Config) -> Path | None:
    """Return the folder for the evidence of failures, None without --mesh-report."""
    report = config.getoption("mesh_report")
    return Path(report) / DIAGNOSIS if report else None


def read_cluster_options(config: pytest.Config) -> ClusterOptions:
    """Return the options of the cluster. Raises UsageError for an invalid option."""
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
        install=cluster_settings.read_install(config),
        provider=cluster_settings.read_provider(config),
        injection=config.getoption("mesh_injection"),
        image_map=images.read_image_changes(config.getoption("mesh_image_map"), "--mesh-image-map"),
        image_prefix=config.getoption("mesh_image_prefix") or "",
        small=bool(config.getoption("mesh_smoke")),
        namespace_labels=cluster_settings.read_namespace_labels(config),
    )


def _prepare_intervals() -> None:
    """Import what confidence intervals need, while the mesh starts."""
    from meshproof.verdict import intervals

    intervals.preload()


def _read_beta(config: pytest.Config) -> float | None:
    """Return --mesh-beta. Raises UsageError unless it is between 0 and 1."""
    beta: float | None = config.getoption("mesh_beta")
    if beta is not None and not 0 < beta < 1:
        raise UsageError(f"--mesh-beta {beta:g}: not a chance (between 0 and 1)")
    return beta


def _check_port(number: int) -> int:
    """Return a port; 0 stands for a free one. Raises UsageError for any other number."""
    if not 0 <= number <= 65535:
        raise UsageError(f"--mesh-port {number}: not a port (0 to 65535)")
    return number


def _read_addon_option(text: str) -> tuple[str, str]:
    """Split NAME=PATH or NAME=off of --mesh-addon. Raises UsageError for anything else."""
    from meshproof.mesh.addons import list_addons

    name, equals, path = text.partition("=")
    if name not in list_addons() or not equals:
        raise UsageError(
            f"--mesh-addon {text}: expected NAME=PATH or NAME=off with a NAME of "
            f"{', '.join(list_addons())}{suggest_nearest(name, list_addons())}"
        )
    return name, path


def build_judge_settings(
    config: pytest.Config, check_values: Mapping[str, float], rules: Sequence[Options] = ()
) -> Settings:
    """Return the limits of one check: its own, else its rule's, else the run's, else the profile's.

    `check_values` are the settings of the check itself, `rules` the options of each rule that it
    tests. All collected checks share the run's alpha, before the first request. Raises UsageError
    for an option of the run that is out of its range, ValueError for a setting of the check.
    """
    from dataclasses import replace

    from meshproof.rules.judge_options import OPTION_NAMES
    from meshproof.verdict import PROFILES, share_alpha

    profile = PROFILES[config.getoption("mesh_profile")]
    alpha, independence = share_alpha(config.getoption("mesh_alpha"), count_run_checks(config))
    settings = replace(profile, alpha=alpha, alpha_independence=independence)
    for name in ("tolerance", "leak", "beta", "budget"):
        if (value := config.getoption(f"mesh_{name}")) is not None:
            try:
                settings = settings.with_values(f"--mesh-{name}", {name: value})
            except ValueError as error:
                raise UsageError(f"the judge's options: {error}") from None
    unknown_names = [name for name in check_values if name not in OPTION_NAMES]
    if unknown_names:
        hint = suggest_nearest(unknown_names[0], OPTION_NAMES)
        raise UsageError(f"judge: no setting '{unknown_names[0]}'{hint}")
    return apply_rule_options(settings, rules).with_values(
        "the check itself", check_values, is_local=True
    )


def apply_rule_options(settings: Settings, rules: Sequence[Options]) -> Settings:
    """Return the run's settings, changed by the options of the rules that a check tests.

    Of several rules the strictest value holds; a rule without a value has the run's value.
    """
    strictest_settings = settings
    for name in {option.name: None for options in rules for option in options}:
        candidates = [
            {candidate.name: candidate for candidate in options}.get(name) for options in rules
        ]
        strictest = min(
            candidates, key=lambda candidate: _rank_strictness(name, candidate, settings)
        )
        if strictest is not None:
            strictest_settings = strictest_settings.with_values(
                str(strictest.at), {name: strictest.value}, is_local=True
            )
    return strictest_settings


def _rank_strictness(name: str, option: Option | None, run_settings: Settings) -> float:
    """Return a sort key of an option, the run's value if None: a lower key is stricter.

    A greater budget is stricter: it does not end a check before the decision.
    """
    if name == "budget":
        budget = run_settings.budget if option is None else option.value
        return -math.inf if budget is None else -budget
    if option is None:
        return float(
            run_settings.unnamed_allowed
            if name == "unnamed_budget"
            else getattr(run_settings, name)
        )
    return option.value


def label_sample(
    sample: Visits | Iterable[str | None], by: str | Callable[[HttpResponse], str | None]
) -> Generator[str | None]:
    """Return the labels of a sample: visits are labelled by `by`, labels stay as they are.

    The caller closes the generator after the verdict: that stops requests still under way.
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


def load_user_rules(config: pytest.Config) -> UserRules:
    """Return the rules of --mesh-rules and their cases, read once. Raises BadRules."""
    user_rules: UserRules | None = getattr(config, _USER_RULES, None)
    if user_rules is None:
        from meshproof.user_rules import loading

        user_rules = loading.load_cached(
            config.getoption("mesh_rules"), read_cluster_options(config)
        )
        setattr(config, _USER_RULES, user_rules)
    return user_rules


def count_item_checks(item: pytest.Item) -> int:
    """Return how many times a test may judge: its mark `checks(n)`, else once.

    A case of user rules that is no split is not judged, so it gets no share of the run's alpha.
    """
    mark = item.get_closest_marker("checks")
    if mark is not None:
        return int(mark.args[0])
    case = getattr(getattr(item, "callspec", None), "params", {}).get("rule_case")
    return 1 if case is None else int(case.needs_judge)


def plan_run(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Store the number of checks of the collected tests, and whether a test needs addons."""
    setattr(config, _ADDONS, any("addon" in getattr(item, "fixturenames", ()) for item in items))
    judging_items = [item for item in items if "judge" in getattr(item, "fixturenames", ())]
    setattr(config, _CHECKS, sum(count_item_checks(item) for item in judging_items))


def count_run_checks(config: pytest.Config) -> int:
    """Return the number of checks that share the run's alpha, at least 1."""
    return max(1, int(getattr(config, _CHECKS, 1)))


def read_sampling(config: pytest.Config) -> Sampling:
    """Return how requests are sent: workers, connections and source addresses."""
    from meshproof.traffic.sender import Sampling

    return Sampling(
        workers=_read_count(config, "workers", 64),
        keep_alive=not config.getoption("mesh_fresh_connections"),
        clients=_read_count(config, "clients", 200),
    )


def _read_count(config: pytest.Config, name: str, maximum: int) -> int:
    """Return --mesh-NAME. Raises UsageError unless it is from 1 to `maximum`."""
    count = int(config.getoption(f"mesh_{name}"))
    if not 1 <= count <= maximum:
        raise UsageError(f"--mesh-{name} {count}: expected 1 to {maximum}")
    return count


def describe_distribution(config: pytest.Config) -> str:
    """Return the option that makes pytest-xdist spread tests (`-n 2`), else an empty string."""
    processes = config.getoption("numprocesses", None)
    if processes:
        return f"-n {processes}"
    if processes == 0:
        return ""
    mode = "load" if config.getoption("distload", False) else config.getoption("dist", "no")
    return f"--dist {mode}" if mode != "no" and config.getoption("tx") else ""


def disable_distribution(config: pytest.Config) -> None:
    """Reset the options of pytest-xdist to their defaults."""
    config.option.numprocesses, config.option.dist, config.option.tx = None, "no", []
    config.option.distload = False


def add_note(config: pytest.Config, note: str) -> None:
    """Add a note on how the run is made to its reports."""
    setattr(config, _NOTES, [*list_notes(config), note])


def list_notes(config: pytest.Config) -> list[str]:
    """Return the notes on how the run is made."""
    run_notes: list[str] = getattr(config, _NOTES, [])
    return run_notes


def get_run_id(config: pytest.Config) -> str:
    """Return the id that marks every request of this run."""
    run_id = getattr(config, _RUN_ID, None)
    if run_id is None:
        run_id = secrets.token_hex(6)
        setattr(config, _RUN_ID, run_id)
    return str(run_id)


def set_progress_callback(config: pytest.Config, callback: Callable[[str], None]) -> None:
    """Make `callback` receive each line of progress from now on."""
    setattr(config, _PROGRESS, callback)


def get_progress_callback(config: pytest.Config) -> Callable[[str], None]:
    """Return the function that receives each line of progress."""
    callback: Callable[[str], None] = getattr(config, _PROGRESS, _ignore_progress)
    return callback


def _ignore_progress(text: str) -> None:
    """Drop a line of progress: the run has no report writers."""
